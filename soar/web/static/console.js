// Keeps the page up to date while nobody is in the middle of something. Every page works without this.
(() => {
  "use strict";
  const PERIOD = 3000;
  const live = document.getElementById("live");
  const main = () => document.getElementById("main");
  if (!live || !main().hasAttribute("data-refresh")) return;

  let pressed = false;
  let sending = false;
  addEventListener("pointerdown", () => { pressed = true; });
  addEventListener("pointerup", () => { pressed = false; });
  addEventListener("pointercancel", () => { pressed = false; });
  addEventListener("submit", () => { sending = true; });
  addEventListener("pageshow", () => { sending = false; });

  const say = (text, kind) => {
    if (live.textContent !== text) live.textContent = text;
    live.className = "live " + kind;
  };

  const touched = (field) => {
    if (field.type === "radio" || field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") {
      const given = [...field.options].findIndex((option) => option.defaultSelected);
      return field.selectedIndex !== Math.max(given, 0);
    }
    return field.value !== field.defaultValue;
  };

  // Nothing may move under somebody who reads, types, or is about to click on a decision.
  const busy = () => {
    const page = main();
    if (pressed || sending) return true;
    if (page.querySelector("form:focus-within, form:hover")) return true;
    if ([...page.querySelectorAll("textarea, select, input:not([type=hidden])")].some(touched)) return true;
    const selection = getSelection();
    return Boolean(selection && !selection.isCollapsed && page.contains(selection.anchorNode));
  };

  const keep = (fresh) => {
    const page = main();
    for (const details of page.querySelectorAll("details[id]")) {
      const same = fresh.querySelector("#" + CSS.escape(details.id));
      if (same) same.open = details.open;
    }
    const focused = page.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && focused.id;
    page.replaceChildren(...fresh.childNodes);
    const again = place && document.getElementById(place);
    if (again) again.focus({ preventScroll: true });
  };

  // Clocks tick: a page that differs in nothing else is not news for a screen reader, but it is shown.
  const refresh = async () => {
    if (document.hidden) return;
    if (busy()) { say("Updates wait while you decide", "paused"); return; }
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html" }, cache: "no-store", credentials: "same-origin",
      });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (!fresh || busy()) return;
      if (fresh.innerHTML !== main().innerHTML) keep(fresh);
      say("Live", "good");
    } catch {
      say("No connection: this page may be old", "lost");
    }
  };

  const loop = async () => { await refresh(); setTimeout(loop, PERIOD); };
  say("Live", "good");
  setTimeout(loop, PERIOD);
})();
