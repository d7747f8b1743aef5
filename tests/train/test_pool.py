"""The pool of segments: rotations, renewal, and density that stays with its labels."""

import itertools

import pytest
import torch

from haruspex_train.pool import ROTATIONS, SegmentPool, proper_rotations, rotate
from haruspex_train.simulate import Crops

EDGE = 6


class Counted:
    """Stands in for a simulator: voxel values tell segment and place, labels the same modulo 251."""

    edge, device = EDGE, torch.device("cpu")

    def __init__(self):
        self.made = 0

    def restart(self, seed):
        pass

    def batch(self, n):
        number = torch.arange(self.made, self.made + n)[:, None, None, None]
        place = torch.arange(EDGE**3).view(EDGE, EDGE, EDGE)
        self.made += n
        value = (number * EDGE**3 + place) % 2048  # whole numbers that float16 holds exactly
        return Crops(value.float(), (value % 251).to(torch.uint8), torch.full((n,), 3.0))


def matrix(number):
    """What a rotation does to the axes, as a matrix found by turning coordinates."""
    centred = torch.stack(torch.meshgrid(*[torch.arange(3.0) - 1] * 3, indexing="ij"))
    turned = torch.stack([rotate(axis, number) for axis in centred])
    a, b = centred.reshape(3, -1), turned.reshape(3, -1)
    return (b @ a.T) / (a[0] @ a[0])


def test_there_are_24_different_rotations_and_no_mirror():
    assert len(ROTATIONS) == len(set(proper_rotations())) == 24
    matrices = [matrix(k) for k in range(24)]
    for m in matrices:
        torch.testing.assert_close(m @ m.T, torch.eye(3))
        assert torch.linalg.det(m).item() == pytest.approx(1)
    for a, b in itertools.combinations(matrices, 2):
        assert not torch.equal(a, b)
    # a group: two turns are another one
    keys = {tuple(m.flatten().tolist()) for m in matrices}
    assert {tuple((a @ b).flatten().tolist()) for a in matrices for b in matrices} == keys


def test_leading_axes_stay():
    volume = torch.rand(2, 3, 4, 4, 4)
    for k in range(24):
        turned = rotate(volume, k)
        assert turned.shape == volume.shape
        assert torch.equal(turned[1, 2], rotate(volume[1, 2], k))


def test_density_and_labels_are_cut_and_turned_alike():
    pool = SegmentPool(Counted(), size=12, fresh=2, chunk=4, seed=0)
    seen = set()
    for _ in range(20):
        density, labels = pool.batch(9, 4)
        assert density.shape == (9, 1, 4, 4, 4)
        assert density.dtype == torch.float32
        assert labels.shape == (9, 4, 4, 4)
        assert torch.equal(density[:, 0].long() % 251, labels.long())
        # the steps between neighbours tell the rotation
        for part in density[:, 0]:
            steps = (part[1, 0, 0] - part[0, 0, 0], part[0, 1, 0] - part[0, 0, 0])
            seen.add(tuple(int(s) % 2048 for s in steps))
    assert len(seen) == 24


def test_segments_are_renewed_at_the_pace_asked_for():
    simulator = Counted()
    pool = SegmentPool(simulator, size=10, fresh=3, chunk=4, seed=0)
    assert simulator.made == 12  # whole chunks
    for steps in range(1, 9):
        pool.batch(2, EDGE)
        assert simulator.made == 12 + 3 * steps // 4 * 4
    # the pool holds the newest ten
    first = {int(v) for v in pool.density[:, 0, 0, 0]}
    newest = range(simulator.made - 10, simulator.made)
    assert first == {k * EDGE**3 % 2048 for k in newest}


def test_a_pool_smaller_than_a_chunk_keeps_density_and_labels_together():
    pool = SegmentPool(Counted(), size=3, fresh=2, chunk=64, seed=0)
    for _ in range(6):
        density, labels = pool.batch(3, EDGE)
        assert torch.equal(density[:, 0].long() % 251, labels.long())


def test_same_seed_same_batches():
    def batches(seed):
        pool = SegmentPool(Counted(), size=8, fresh=2, chunk=4, seed=seed)
        return torch.stack([pool.batch(4, 4)[0] for _ in range(3)])

    assert torch.equal(batches(1), batches(1))
    assert not torch.equal(batches(1), batches(2))


def test_parts_reach_every_corner():
    pool = SegmentPool(Counted(), size=8, fresh=0, chunk=8, seed=0)
    places = set()
    for _ in range(60):
        density, _ = pool.batch(8, 5)
        # the least value of a part is its corner that was cut first, whatever the rotation
        places |= {int(part.min()) % EDGE**3 for part in density if part.max() < 2000}
    corners = {(z * EDGE + y) * EDGE + x for z, y, x in itertools.product((0, 1), repeat=3)}
    assert corners <= places
