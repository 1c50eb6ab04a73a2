"""Every caption belongs to exactly one split, which never changes."""

from diffusion_probe.reference.captions import Caption, Phrase
from diffusion_probe.reference.splits import SPLITS, distinct_captions


def test_every_bucket_belongs_to_one_split() -> None:
    assert sorted(bucket for buckets in SPLITS.values() for bucket in buckets) == list(range(100))


def test_known_captions_keep_their_buckets() -> None:
    captions = [Caption((Phrase("cat", 1), Phrase("key", 2)), "left", colour) for colour in ("blue", "green", "pink", "grey")]
    assert [caption.bucket() for caption in captions] == [61, 98, 78, 16]


def test_splits_share_no_caption() -> None:
    keys = [{caption.key() for caption in distinct_captions(split, 200, seed=1)} for split in SPLITS]
    for index, one in enumerate(keys):
        assert len(one) == 200
        assert all(not one & other for other in keys[:index])


def test_a_longer_list_begins_with_the_shorter() -> None:
    assert distinct_captions("test", 30, seed=4)[:10] == distinct_captions("test", 10, seed=4)
    assert all(caption.bucket() in SPLITS["test"] for caption in distinct_captions("test", 30, seed=4))
