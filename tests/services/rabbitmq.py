"""A private RabbitMQ."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from itertools import count
from typing import Any

from tests.services.ports import free_port, listening
from tests.services.process import Process, ServiceError, User, program, run
from tests.services.tls import Certificate
from tests.waiting import wait_until

# Debian's wrapper in /usr/sbin insists on root and on the installed node's folder; these are the
# scripts behind it, which run as anybody and anywhere.
_SCRIPTS = "/usr/lib/rabbitmq/bin"
_VHOSTS_AT_ONCE = 16


class Epmd:
    """Where Erlang nodes find each other; those that share one can be a cluster.

    erl would start it as a daemon that nobody stops; this one is ours, on a port of its own.
    """

    def __init__(self) -> None:
        user = User("rabbitmq")
        self._folder = user.folder("tts-epmd-")
        self.port = free_port()
        self.cookie = f"cookie{self.port}"
        self._process = Process(
            user.command(["epmd", "-port", str(self.port), "-address", "127.0.0.1"]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGKILL,
        )
        wait_until(lambda: listening(self.port), "epmd listens")

    def stop(self) -> None:
        """End it; its nodes have ended before."""
        self._process.stop(signal.SIGKILL)
        shutil.rmtree(self._folder)


class RabbitMQ:
    """A node of its own, with an own epmd and cookie, so that no other node can be met by accident.

    ``management=True`` serves the management page on ``management_url`` (guest / guest);
    ``certificate`` opens a TLS port as well, for ``tls_url``; ``settings`` are lines of
    rabbitmq.conf, read at each start. Nodes of a cluster share an ``epmd`` and are started by it.
    """

    def __init__(
        self,
        *,
        management: bool = False,
        certificate: Certificate | None = None,
        epmd: Epmd | None = None,
    ) -> None:
        self._server = program(f"{_SCRIPTS}/rabbitmq-server", "rabbitmq-server")
        self._ctl = program(f"{_SCRIPTS}/rabbitmqctl", "rabbitmq-server")
        self._user = User("rabbitmq")
        self._folder = self._user.folder("tts-rabbitmq-")
        self._own_epmd = None if epmd else Epmd()
        self._epmd = epmd or self._own_epmd
        self._names = count(1)
        self._spare_vhosts: list[str] = []
        self.port = free_port()
        self.name = f"tts-{self.port}@localhost"
        self.settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "disk_free_limit.absolute": "50MB",
        }
        self._process: Process | None = None
        self.management_url = self._serve_management() if management else ""
        self.tls_url = self._serve_tls(certificate) if certificate else ""
        self._env = self._environment()
        self._write(".erlang.cookie", self._epmd.cookie, mode=0o400)
        self._write("env.conf", "")
        self._write("plugins", "[rabbitmq_management]." if management else "[].")
        if self._own_epmd:
            self.start()

    @property
    def url(self) -> str:
        """The default vhost; tests take one of their own from :meth:`create_vhost`."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def create_vhost(self) -> str:
        """A fresh, empty vhost; returns its URL. Some are made at once: each call costs seconds."""
        if not self._spare_vhosts:
            names = [f"test-{next(self._names)}" for _ in range(_VHOSTS_AT_ONCE)]
            binaries = ",".join(f'<<"{name}">>' for name in names)
            self.evaluate(
                f"[begin rabbit_vhost:add(V, <<>>), rabbit_auth_backend_internal:set_permissions("
                f'<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<>>) end || V <- [{binaries}]].'
            )
            self._spare_vhosts = names[::-1]
        return self.url + self._spare_vhosts.pop()

    def delete_vhost(self, url: str) -> None:
        """Delete the vhost of a URL with all that is in it."""
        self.evaluate(f'rabbit_vhost:delete(<<"{self.vhost(url)}">>, <<"test">>).')

    def list_queues(self, vhost: str, *columns: str) -> list[dict[str, Any]]:
        """The queues of a vhost (a name or a URL): ``name``, ``messages``, and more columns."""
        return self._list("list_queues", "-p", self.vhost(vhost), "name", "messages", *columns)

    def vhost(self, url: str) -> str:
        """The vhost's name in a URL (or the name itself)."""
        return url.rpartition("/")[2] or "/"

    def close_connections(self) -> None:
        """Cut every client's connection, as an operator does."""
        self.evaluate(
            'rabbit_networking:close_connections(rabbit_networking:connections(), "test").'
        )

    def delete_queue(self, vhost: str, name: str) -> None:
        """Delete a queue of a vhost (a name or a URL) with all that is in it."""
        queue = f'rabbit_misc:r(<<"{self.vhost(vhost)}">>, queue, <<"{name}">>)'
        self.evaluate(
            f"begin {{ok, Queue}} = rabbit_amqqueue:lookup({queue}),"
            ' rabbit_amqqueue:delete(Queue, false, false, <<"test">>) end.'
        )

    def set_memory_limit(self, share: float) -> None:
        """Block publishers when the node uses more than this share of the machine's memory."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({share}).")

    def evaluate(self, expression: str) -> str:
        """Run Erlang code in the node and return its value as Erlang prints it; milliseconds."""
        identity = ["-c", self._epmd.cookie, "-sname", self.name]
        answer = self._run([program("erl_call", "erlang-base"), *identity, "-e"], f"{expression}\n")
        if not answer.startswith("{ok, "):
            raise ServiceError(f"{self.name} did not evaluate {expression}: {answer}")
        return answer[len("{ok, ") : -1]

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run ``rabbitmqctl`` against the node and return what it printed; takes seconds."""
        return self._run([self._ctl, *arguments], stdin)

    def start(self, *, wiped: bool = False) -> None:
        """Start the node (again) on the same port and wait until it accepts clients.

        ``wiped``: on an empty disk, as a broker whose machine was replaced.
        """
        if wiped:
            shutil.rmtree(self._folder / "mnesia")
            self._spare_vhosts.clear()
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        self._write("rabbitmq.conf", "\n".join([*lines, ""]))
        self._process = Process(
            self._user.command([self._server]),
            folder=self._folder,
            log=self._folder / "console.log",
            stop_signal=signal.SIGKILL,
            env=self._env,
        )
        wait_until(self._accepts, "RabbitMQ accepts clients")

    def halt(self, *, crash: bool = False) -> None:
        """End the node but keep its data: an outage until :meth:`start`."""
        self._process.stop(signal.SIGKILL if crash else signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing comes from it any more, until :meth:`thaw`."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self._process.thaw()

    def wipe(self) -> None:
        """Lose everything at once."""
        self.halt(crash=True)
        self.start(wiped=True)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def awake(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.running and not self._process.frozen

    def stop(self) -> None:
        """End the node, if it runs, and remove its data."""
        if self.running:
            self.halt(crash=True)
        if self._own_epmd:
            self._own_epmd.stop()
        shutil.rmtree(self._folder)

    def _serve_management(self) -> str:
        port = free_port()
        self.settings |= {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(port)}
        return f"http://127.0.0.1:{port}"

    def _serve_tls(self, certificate: Certificate) -> str:
        port = free_port()
        files = certificate.copy(self._folder, self._user)
        self.settings |= {
            "listeners.ssl.1": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": str(files.authority),
            "ssl_options.certfile": str(files.certificate),
            "ssl_options.keyfile": str(files.key),
        }
        return f"amqps://guest:guest@127.0.0.1:{port}/"

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),  # where Erlang looks for the cookie
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # Makes the script exec the VM, so that the process we start is the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self._folder / name
        path.write_text(text)
        path.chmod(mode)
        self._user.own(path)

    def _run(self, command: list[str], stdin: str) -> str:
        return run(*self._user.command(command), folder=self._folder, env=self._env, input=stdin)

    def _list(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.ctl("--formatter=json", "-q", *arguments))
        return rows

    def _accepts(self) -> bool:
        self._process.check()
        if not listening(self.port):
            return False
        # Listeners open as the last step of the boot, so a greeting means that clients are served.
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return client.recv(1) == b"\x01"
        except OSError:
            return False
