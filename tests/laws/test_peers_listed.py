"""No function is forgotten: each public one has a row beside a peer, or a reason why not.  Needs no peer."""

from __future__ import annotations

from pathlib import Path

from peers_listed import COMPARED_ELSEWHERE, WITHOUT_PEER, every_row

from graphc.lang import functions, linalg
from graphc.ops.table import ROWS


def test_every_public_function_is_compared_or_excused() -> None:
    public = {*functions.__all__, *linalg.__all__, *ROWS}
    compared = {name.split()[0] for name in every_row()}
    listed = {*compared, *COMPARED_ELSEWHERE, *WITHOUT_PEER}
    assert sorted(public - listed) == [], "these functions need a row in tests/laws/peers_*.py"
    assert sorted(listed - public - {"cast"}) == []
    assert sorted(compared & WITHOUT_PEER.keys()) == [], "these have a row, and an excuse for having none"
    here = Path(__file__).parent
    for name, file in COMPARED_ELSEWHERE.items():
        assert f"gc.{name}(" in (here / file).read_text(encoding="utf-8")


def test_every_row_has_a_peer_and_every_difference_a_place() -> None:
    for name, row in every_row().items():
        assert row.torch is not None or row.jax is not None, name
        for d in row.differs:
            assert all(row.peer(peer) is not None for peer in d.peers.split()), name
            assert d.part == "value" or int(d.part.lstrip("d")) in row.moving, name
