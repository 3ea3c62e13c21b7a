"""A machine that takes commands over SSH: a real server on this host, which runs them in a shell of its own folder."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko

__all__ = ["Machine", "machine"]


@dataclass
class Machine:
    """The server.

    Args:
        folder: Where its commands run.
        commands: What was run.
        drop_after: The line breaks when a command that holds this text has been run.
        hang_up: When the line breaks without a word: at the `banner`, or before the answer to a `command`.
    """

    folder: Path
    host_key: paramiko.PKey
    known: paramiko.PKey
    listener: socket.socket
    user: str = "soar"
    commands: list[str] = field(default_factory=list)
    drop_after: str = ""
    hang_up: str = ""

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def known_hosts(self, key: paramiko.PKey | None = None) -> Path:
        shown = key or self.host_key
        file = self.folder / "known_hosts"
        file.write_text(f"[127.0.0.1]:{self.port} {shown.get_name()} {shown.get_base64()}\n")
        return file

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        if self.hang_up == "banner":
            connection.close()
            return
        transport = paramiko.Transport(connection)
        transport.add_server_key(self.host_key)
        try:
            transport.start_server(server=_Server(self, transport))
        except (paramiko.SSHException, EOFError, OSError):
            transport.close()


class _Server(paramiko.ServerInterface):  # type: ignore[misc]
    def __init__(self, machine: Machine, transport: paramiko.Transport) -> None:
        self._machine, self._transport = machine, transport

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        right = username == self._machine.user and key == self._machine.known
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        if self._machine.hang_up == "command":
            self._transport.sock.close()
            return False
        sent = self._sent()
        threading.Thread(target=self._run, args=(channel, command.decode(), sent), daemon=True).start()
        return True

    def _sent(self) -> int:
        number: int = self._transport.packetizer._Packetizer__sequence_number_out
        return number

    def _run(self, channel: Any, command: str, sent: int) -> None:
        # A server says yes before it runs anything; here the answer goes out when `check_…` has returned.
        while self._sent() == sent and self._transport.is_active():
            time.sleep(0.001)
        machine = self._machine
        machine.commands.append(command)
        done = subprocess.run(["sh", "-c", command], cwd=machine.folder, capture_output=True)
        if machine.drop_after and machine.drop_after in command:
            self._transport.close()
            return
        channel.sendall(done.stdout)
        channel.sendall_stderr(done.stderr)
        channel.send_exit_status(done.returncode)
        channel.close()


def machine(folder: Path) -> Machine:
    """Begin to serve."""
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(folder / "key"))
    listener = socket.create_server(("127.0.0.1", 0))
    made = Machine(folder, paramiko.RSAKey.generate(2048), key, listener)
    threading.Thread(target=made.serve, daemon=True).start()
    return made
