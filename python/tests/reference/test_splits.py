"""A caption belongs to one split for ever."""

from diffusion_probe.reference.language import Group, Request
from diffusion_probe.reference.splits import SPLITS, distinct, split_of


def test_every_bucket_belongs_to_one_split() -> None:
    assert sorted(bucket for buckets in SPLITS.values() for bucket in buckets) == list(range(100))


def test_known_captions_stay_where_they_were() -> None:
    requests = [Request((Group("cat", 1), Group("key", 2)), "left", colour) for colour in ("blue", "green", "pink", "grey")]
    assert [request.bucket() for request in requests] == [61, 98, 78, 16]


def test_splits_share_no_meaning() -> None:
    keys = [{request.key() for request in distinct(split, 200, seed=1)} for split in SPLITS]
    for index, one in enumerate(keys):
        assert len(one) == 200
        assert all(not one & other for other in keys[:index])


def test_a_longer_list_begins_with_the_shorter() -> None:
    assert distinct("test", 30, seed=4)[:10] == distinct("test", 10, seed=4)
    assert all(split_of(request) == "test" for request in distinct("test", 30, seed=4))
