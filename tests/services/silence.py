"""A machine that is gone: its packets are dropped without a word."""

from __future__ import annotations

from tests.services.process import at_end, program, root, run


class Silence:
    """From now until :meth:`end`, the kernel drops each packet to and from the ports.

    What was sent is retransmitted, so it arrives after the end unless a side has given up by then.
    It takes a table of nftables of its own, and root (or a sudo that asks for no password).
    """

    def __init__(self, *ports: int) -> None:
        self._nft = root(program("/usr/sbin/nft", "nftables"))
        self._table = f"tts_test_{ports[0]}"
        numbers = ", ".join(map(str, ports))
        at_end(*self._nft, "delete", "table", "ip", self._table)
        rules = f"""
            table ip {self._table} {{
                chain in {{
                    type filter hook input priority 0;
                    tcp dport {{ {numbers} }} drop
                    tcp sport {{ {numbers} }} drop
                }}
            }}
        """
        run(*self._nft, "-f", "-", input=rules)

    def end(self) -> None:
        """Packets pass again."""
        run(*self._nft, "delete", "table", "ip", self._table)
