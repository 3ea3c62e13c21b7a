"""SSH connections of actions: to hosts that the operator has opened, whose keys are known, with named logins."""

from __future__ import annotations

import fnmatch
import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soar.actions.errors import BadInput, InDoubt, NotSent, Refused

if TYPE_CHECKING:
    import paramiko

__all__ = ["Ended", "Login", "SshAccess"]

CONNECT_SECONDS = 15.0
KEEP_BYTES = 256 * 1024
"""What is kept of each output; the rest is read and left, and the result says so."""
_POLL = 0.05


@dataclass(frozen=True)
class Login:
    """Who we are on a machine: a user, and the file of the private key."""

    user: str
    key: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended. `cut`: there was more output than is kept."""

    status: int
    stdout: bytes
    stderr: bytes
    cut: bool


class SshAccess:
    """Runs commands for actions; thread-safe. No agent, no key of the user's own, and no password is used.

    Args:
        hosts: `SOAR_SSH_HOSTS`: names (with `*`), addresses and networks that may be connected to. None: no host.
        known_hosts: The host keys, as OpenSSH writes them; a host without one is refused.
        logins: By name; the first is used where a step names none.

    Raises:
        ValueError: A setting cannot be used.
    """

    def __init__(
        self,
        *,
        hosts: Iterable[str] = (),
        known_hosts: Path | None = None,
        logins: Mapping[str, Login] | None = None,
    ) -> None:
        self._names: list[str] = []
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for host in hosts:
            try:
                self._networks.append(ipaddress.ip_network(host))
            except ValueError:
                if not host or any(c in host for c in "/@ ") or host.startswith("-"):
                    raise ValueError(f"{host[:80]!r} is no host, address or network") from None
                self._names.append(host.lower())
        self._known_hosts = known_hosts
        self._logins = dict(logins or {})

    def check(self, host: str, login: str) -> Login:
        """See, without connecting, whether a command may be run there at all.

        Returns:
            The login that is used.

        Raises:
            Refused, BadInput: It may not.
        """
        if not (self._names or self._networks):
            raise Refused(
                "commands over SSH are not open here", hint="the operator opens hosts by SOAR_SSH_HOSTS"
            )
        if not self._open(host.lower()):
            raise Refused(f"{host[:200]} is not open for commands", hint="add it to SOAR_SSH_HOSTS")
        if self._known_hosts is None:
            raise Refused(
                "no host keys are known here", hint="set SOAR_SSH_KNOWN_HOSTS to a known_hosts file"
            )
        if not self._logins:
            raise Refused("there is no login", hint="set SOAR_SSH_KEY_FILE to a private key")
        if not login:
            return next(iter(self._logins.values()))
        if login not in self._logins:
            raise BadInput(f"there is no login {login[:60]}", hint=f"there are {', '.join(self._logins)}")
        return self._logins[login]

    def _open(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return any(fnmatch.fnmatchcase(host, pattern) for pattern in self._names)
        return any(address in network for network in self._networks)

    def run(
        self,
        host: str,
        port: int,
        login: str,
        command: str,
        *,
        seconds: float,
        beat: Callable[[str], None] = lambda _text: None,
    ) -> Ended:
        """Run a command in the login's shell, and wait for its end.

        Args:
            seconds: How long it may take.
            beat: Told how far it is.

        Raises:
            Refused, BadInput: It may not be run; nothing was sent.
            NotSent: The host was not reached or did not let us in.
            InDoubt: It was begun, and its end was not seen.
        """
        who = self.check(host, login)
        client = self._connected(host, port, who)
        try:
            return _run(client, host, command, seconds, beat)
        finally:
            client.close()

    def _connected(self, host: str, port: int, login: Login) -> paramiko.SSHClient:
        try:
            import paramiko
        except ImportError:
            raise Refused(
                "this worker cannot speak SSH", hint="install it with the extra: pip install soar[ssh]"
            ) from None
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.load_host_keys(str(self._known_hosts))
            key = paramiko.PKey.from_path(login.key)
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise Refused(
                f"the host keys or the login's key cannot be read: {type(error).__name__}",
                hint="look at SOAR_SSH_KNOWN_HOSTS, SOAR_SSH_KEY_FILE and SOAR_SSH_LOGINS",
            ) from None
        try:
            client.connect(
                host,
                port=port,
                username=login.user,
                pkey=key,
                timeout=CONNECT_SECONDS,
                banner_timeout=CONNECT_SECONDS,
                auth_timeout=CONNECT_SECONDS,
                allow_agent=False,
                look_for_keys=False,
            )
        except paramiko.BadHostKeyException:
            client.close()
            raise Refused(
                f"the key of {host} is another than the known one: somebody may stand in between",
                hint="find out why before SOAR_SSH_KNOWN_HOSTS is changed",
            ) from None
        except paramiko.AuthenticationException:
            client.close()
            raise Refused(
                f"{host} does not let {login.user} in", hint="look at the login's key there"
            ) from None
        except paramiko.SSHException as error:
            client.close()
            if "not found in known_hosts" in str(error):
                raise Refused(f"no key of {host} is known", hint="add it to SOAR_SSH_KNOWN_HOSTS") from None
            raise NotSent(f"{host}: {error}", hint="is SSH running there? then retry the step") from None
        except (OSError, EOFError) as error:
            client.close()
            reason = str(error) or "it hung up"
            raise NotSent(f"{host} was not reached: {reason}", hint="is it up? then retry the step") from None
        return client


def _run(
    client: paramiko.SSHClient, host: str, command: str, seconds: float, beat: Callable[[str], None]
) -> Ended:
    import paramiko

    transport = client.get_transport()
    if transport is None:
        raise NotSent(f"{host} closed the connection", hint="retry the step")
    try:
        channel = transport.open_session(timeout=CONNECT_SECONDS)
    except (paramiko.SSHException, OSError, EOFError) as error:
        reason = str(error) or "it hung up"
        raise NotSent(f"{host} opened no session: {reason}", hint="retry the step") from None
    out, err = _Kept(), _Kept()
    begun = time.monotonic()
    try:
        channel.exec_command(command)
        while True:
            idle = not (
                out.take(channel.recv_ready, channel.recv)
                | err.take(channel.recv_stderr_ready, channel.recv_stderr)
            )
            if idle and channel.exit_status_ready():
                break
            passed = time.monotonic() - begun
            if passed > seconds:
                raise InDoubt(
                    f"the command on {host} had not ended after {seconds:.0f} s; it may still run",
                    hint="look there before it is run again",
                )
            if idle:
                if channel.closed or not transport.is_active():
                    raise InDoubt(
                        f"the line to {host} broke while the command ran", hint="look there what it did"
                    )
                beat(f"running on {host} for {passed:.0f} s")
                time.sleep(_POLL)
    except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
        reason = str(error) or "it hung up"
        raise InDoubt(
            f"the line to {host} broke while the command ran: {reason}", hint="look there what it did"
        ) from None
    finally:
        channel.close()
    status = channel.recv_exit_status()
    if status < 0:
        # The session was closed without one: the line broke, or the command was killed there.
        raise InDoubt(
            f"the line to {host} broke while the command ran, or it was killed", hint="look there what it did"
        )
    return Ended(status, bytes(out.data), bytes(err.data), out.cut or err.cut)


class _Kept:
    """The beginning of an output."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.cut = False

    def take(self, ready: Callable[[], bool], receive: Callable[[int], bytes]) -> bool:
        """Take what is there; whether there was something."""
        if not ready():
            return False
        piece = receive(32 * 1024)
        room = KEEP_BYTES - len(self.data)
        self.data += piece[:room]
        self.cut = self.cut or len(piece) > room
        return bool(piece)
