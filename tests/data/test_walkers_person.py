"""Who walks: bodies, clothes, twins, days."""

import jax
import numpy as np

from data.walkers import body, person, plan


def _person(number, gait=None, day=0, dark=0.4):
    keys = [plan.key(0, 7, n) for n in (number, number if gait is None else gait)]
    return person.sample_person(*keys, day, dark)


def test_the_body_is_as_high_as_it_is_tall():
    """From the ground to the crown, whoever it is and at any phase."""
    posed = jax.jit(body.pose)
    for number in range(12):
        someone = _person(number)
        for phase in np.linspace(0, 2 * np.pi, 7):
            parts = jax.tree.map(np.asarray, posed(someone, phase, 1.0))
            ends = np.minimum(parts.start[:, 2], parts.end[:, 2])
            soles = np.min(ends - parts.end_size[:, 1]) / someone.build.height
            crown = np.max(parts.end[:, 2] + parts.cap[:, 1]) / someone.build.height
            assert -0.03 < soles < 0.01
            assert 0.92 < crown < 1.05


def _differing(first, second):
    """Names of the parts of two persons that are not equal."""
    return {
        name
        for name in ("build", "face", "outfit", "gait")
        if not jax.tree.all(
            jax.tree.map(
                lambda a, b: bool((a == b).all()),
                getattr(first, name),
                getattr(second, name),
            )
        )
    }


def test_twins_differ_by_their_gait_only():
    first, second = _person(3, gait=1), _person(3, gait=2)
    assert _differing(first, second) == {"gait"}
    # What a single picture shows of a gait is their own either.
    for posture in ("lean", "stance", "elbow"):
        assert getattr(first.gait, posture) == getattr(second.gait, posture)


def test_a_group_of_twins_ends_where_the_next_begins():
    key = plan.key(0, plan.PERSON)
    persons = [
        person.nth_person(key, number, 0, twins=3, dark=0.4) for number in range(1, 8)
    ]
    looks = [np.asarray(someone.outfit.upper).tobytes() for someone in persons]
    assert [looks.index(look) for look in looks] == [0, 0, 0, 3, 3, 3, 6]


def test_another_day_changes_the_clothes_only():
    assert _differing(_person(3), _person(3, day=1)) == {"outfit"}


def test_dark_persons_wear_dark_clothes():
    def brightness(dark):
        return np.mean(
            [_person(n, dark=dark).outfit.upper[0].mean() for n in range(30)]
        )

    assert brightness(1.0) < 0.7 * brightness(0.0)


def test_a_coat_or_skirt_hides_the_thighs():
    """None is nearer than what covers it, from any side and at any phase."""
    thighs, coat, skirt = [0, 3], 10, 9
    posed = jax.jit(body.pose)
    count = 0
    for number in range(40):
        someone = _person(number)
        worn = {
            coat: someone.outfit.coat > body._LONG_COAT,
            skirt: someone.outfit.skirt > 0,
        }
        for phase in np.linspace(0, 2 * np.pi, 9) if any(worn.values()) else ():
            parts = posed(someone, phase, 1.0)
            for yaw in np.linspace(0, 2 * np.pi, 8, endpoint=False):
                towards = np.array([np.sin(yaw), np.cos(yaw)])
                middle = np.asarray(0.5 * (parts.start + parts.end))[:, :2] @ towards
                depth = middle + np.asarray(parts.bias)
                for part, is_worn in worn.items():
                    assert not is_worn or (depth[thighs] < depth[part]).all()
            count += 1
    assert count > 50
