"use strict";
// Keeps the view fresh and turns clicks into signed interactions. No dependencies.
(() => {
  const view = document.getElementById("view");
  const modal = document.getElementById("modal");
  const notice = document.getElementById("notice");
  const as = document.getElementById("as");
  const POLL_MS = 1000;
  let hide = 0;

  const say = (text) => {
    notice.textContent = text;
    notice.classList.add("on");
    clearTimeout(hide);
    hide = setTimeout(() => notice.classList.remove("on"), 6000);
  };
  const address = (path) =>
    `${path}?channel=${encodeURIComponent(view.dataset.channel)}&as=${encodeURIComponent(view.dataset.person)}`;
  const version = () => view.querySelector("[data-version]")?.dataset.version ?? "";

  const refresh = async () => {
    const answer = await fetch(address("/simulated/view"));
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const html = await answer.text();
    const old = view.querySelector(".messages");
    const top = old ? old.scrollTop : 0;
    const low = old ? old.scrollHeight - old.clientHeight - top < 80 : true;
    const closed = new Set([...view.querySelectorAll("details:not([open])")].map((d) => d.closest("[data-ts]").dataset.ts));
    view.innerHTML = html; // made by the server, which escapes everything
    view.querySelectorAll("details").forEach((d) => { if (closed.has(d.closest("[data-ts]").dataset.ts)) d.open = false; });
    const fresh = view.querySelector(".messages");
    if (fresh) fresh.scrollTop = low && old ? fresh.scrollHeight : top;
  };

  // The form is drawn anew only when another one opens, so that nothing typed is lost.
  const refreshModal = async () => {
    const html = await (await fetch(`/simulated/modal?as=${encodeURIComponent(view.dataset.person)}`)).text();
    const fresh = document.createElement("template");
    fresh.innerHTML = html; // made by the server, which escapes everything
    const before = modal.firstElementChild?.dataset.view ?? "";
    const after = fresh.content.firstElementChild?.dataset.view ?? "";
    if (before === after) return;
    modal.replaceChildren(fresh.content);
    modal.querySelector("textarea, input, select, button")?.focus();
  };
  const send = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.json();
  };

  const poll = async () => {
    try {
      if (!document.hidden) {
        const now = await (await fetch("/simulated/version")).json();
        if (String(now.version) !== version()) { await refresh(); await refreshModal(); }
      }
    } catch (error) {
      say("The simulated workspace does not answer; is it still running?");
    } finally {
      setTimeout(poll, POLL_MS);
    }
  };

  view.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    button.disabled = true;
    try {
      const body = await send("/simulated/click", {
        user: view.dataset.person, channel: view.dataset.channel,
        ts: button.dataset.ts, action_id: button.dataset.action, value: button.dataset.value,
      });
      if (body.error) say(body.error);
      else if (body.status !== 200) say(`The app answered with status ${body.status}: the click may not have counted.`);
      else say("Sent. The card is updated when the decision is on record.");
    } catch (error) {
      say("The click was not sent: the simulated workspace does not answer.");
    } finally {
      button.disabled = false;
    }
  });

  modal.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const values = {};
    for (const [name, value] of new FormData(form)) {
      const time = form.elements[name].type === "datetime-local";
      if (value) values[name] = time ? String(Math.floor(new Date(value).getTime() / 1000)) : value;
    }
    try {
      const body = await send("/simulated/submit", { user: view.dataset.person, view: form.dataset.view, values });
      form.querySelectorAll(".problem").forEach((p) => { p.textContent = body.errors?.[p.dataset.for] ?? ""; });
      if (body.error) say(body.error);
      else if (Object.keys(body.errors).length) say("Please correct what is marked.");
      else if (body.status !== 200) say(`The app answered with status ${body.status}: nothing was taken.`);
      else say("Sent. The card is updated when it is on record.");
      await refreshModal();
    } catch (error) {
      say("The form was not sent: the simulated workspace does not answer.");
    }
  });
  modal.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-dismiss]")) return;
    await send("/simulated/dismiss", { user: view.dataset.person });
    await refreshModal();
  });

  refreshModal();
  as.addEventListener("change", () => { view.dataset.person = as.value; location.href = address("/"); });
  setTimeout(poll, POLL_MS);
})();
