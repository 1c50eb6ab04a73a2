"""Every caption belongs to exactly one split, which never changes."""

from diffusion_probe.reference.captions import Caption, Phrase
from diffusion_probe.reference.splits import SPLITS, data_captions, distinct_captions


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


def test_the_captions_of_training_and_calibration_are_the_old_ones() -> None:
    assert data_captions("train", 3)[0].text() == distinct_captions("train", 1, seed=20)[0].text()
    assert data_captions("calibration_more", 5) == data_captions("calibration", 9)[:5] == distinct_captions("calibration", 5, 20)


def test_test_and_unlabelled_captions_were_never_used() -> None:
    opened = {caption.key() for caption in distinct_captions("test", 608, seed=20)}
    fresh = data_captions("test", 40)
    assert not opened & {caption.key() for caption in fresh}
    assert all(caption.bucket() in SPLITS["test"] for caption in fresh)
    trained = {caption.key() for caption in distinct_captions("train", 6100, seed=20)}
    unlabelled = data_captions("unlabelled", 40)
    assert not trained & {caption.key() for caption in unlabelled}
    assert all(caption.bucket() in SPLITS["train"] for caption in unlabelled)
