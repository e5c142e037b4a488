# SPDX-License-Identifier: Apache-2.0
"""Scores, against hand counts, scikit-learn and the published matrices."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from terrapatch.training import metrics

# Confusion matrices that the authors of CerraData-4MM publish (rows: truth, test split), and the
# overall accuracy, macro F1 and mIoU of their figure. Source: ai4luc/CerraData-4MM,
# assess/confusion_matrices; facts only.
PUBLISHED = {
    "transnuseg_concat_w_l1": (
        [[13182902, 3488739, 1172262, 70081, 193019, 28066, 51525],
         [3023235, 24208058, 740331, 80782, 112028, 46415, 72694],
         [476929, 320405, 1412549, 4285, 11060, 22, 6678],
         [228, 64, 0, 3457, 133, 774, 591],
         [9862, 5214, 3891, 4072, 236642, 909, 6873],
         [6163, 22034, 677, 723, 590, 598456, 2788],
         [564, 130, 966, 1138, 760, 143, 845]],
        (0.7991, 0.5240, 0.4254),
    ),
    "unet_concat_w_l1": (
        [[12344686, 3392012, 1824297, 98248, 427839, 99512, 0],
         [2828736, 23220794, 1185323, 124430, 639751, 284509, 0],
         [349466, 199373, 1640374, 22720, 18098, 1897, 0],
         [38, 114, 1, 4461, 229, 404, 0],
         [1949, 2652, 578, 288, 261627, 369, 0],
         [1612, 4252, 747, 2457, 1912, 620451, 0],
         [255, 217, 1408, 1596, 638, 432, 0]],
        (0.7678, 0.4524, 0.3483),
    ),
    "unet_concat_nw_l1": (
        [[14308340, 3846328, 0, 0, 0, 31926, 0],
         [2557622, 25682878, 0, 0, 0, 43043, 0],
         [1377173, 854041, 0, 0, 0, 714, 0],
         [2941, 1927, 0, 0, 0, 379, 0],
         [233860, 33100, 0, 0, 0, 503, 0],
         [9778, 41969, 0, 0, 0, 579684, 0],
         [3989, 154, 0, 0, 0, 403, 0]],
        (0.8178, 0.3649, 0.3192),
    ),
    "transnuseg_concat_w_l2": (
        [[11851463, 1961888, 804607, 26945, 35881, 49045, 335892, 196834, 174716, 68081, 335894,
          977786, 70271, 1298223],
         [3223821, 14214563, 4823913, 61535, 39040, 41175, 168102, 622978, 199764, 71255, 21416,
          133544, 114876, 1336017],
         [187667, 455449, 2338871, 6549, 1651, 4410, 32503, 89141, 36178, 6776, 266, 5610, 18535,
          25660],
         [5685, 7805, 9416, 597412, 413, 1254, 1018, 0, 44, 0, 24, 32, 6269, 1032],
         [98, 17, 41, 736, 3662, 137, 73, 0, 1, 0, 0, 0, 329, 144],
         [2172, 877, 1096, 615, 872, 178505, 32696, 5, 1704, 599, 0, 773, 7929, 3022],
         [712, 462, 198, 0, 684, 8280, 22985, 125, 503, 117, 6, 5, 1984, 306],
         [30218, 22232, 17904, 0, 702, 0, 708, 582576, 5277, 3357, 7795, 191, 507, 19622],
         [2301, 5318, 4011, 0, 44, 0, 173, 145, 23767, 374, 5, 120, 0, 745],
         [2479, 335, 357, 0, 0, 2, 198, 0, 0, 44300, 427, 1952, 0, 1660],
         [6821, 337, 111, 0, 2, 60, 449, 6, 37, 2834, 52823, 55560, 48, 16112],
         [53114, 3567, 1781, 48, 1605, 62, 736, 80, 1454, 13702, 72662, 550354, 576, 10339],
         [167, 92, 5, 67, 742, 310, 1075, 0, 0, 582, 0, 5, 1379, 128],
         [175960, 92531, 9497, 50, 1621, 557, 5074, 14176, 857, 6834, 8596, 26750, 4935, 262015]],
        (0.6193, 0.3767, 0.2731),
    ),
    "unet_concat_w_l2": (
        [[9484544, 1070006, 968316, 72038, 0, 104758, 304430, 44148, 0, 275805, 1024585, 981819, 0,
          3857077],
         [2260453, 8385042, 7678015, 192941, 0, 295587, 365685, 102448, 0, 434383, 301391, 96660, 0,
          4959394],
         [183957, 162054, 2744389, 16887, 0, 15987, 16997, 10029, 0, 5150, 1723, 3052, 0, 49041],
         [2782, 3863, 3013, 611976, 0, 3634, 1118, 135, 0, 468, 620, 733, 0, 2062],
         [38, 2, 4, 653, 0, 98, 2288, 0, 0, 25, 1196, 864, 0, 70],
         [944, 14, 1056, 408, 0, 186334, 39393, 10, 0, 772, 897, 52, 0, 985],
         [1031, 588, 503, 3, 0, 4866, 24441, 0, 0, 168, 1309, 210, 0, 3248],
         [10040, 37000, 21675, 1251, 0, 352, 2138, 548209, 0, 2686, 5644, 1415, 0, 60679],
         [5848, 2366, 13752, 1271, 0, 72, 98, 1156, 0, 273, 418, 333, 0, 11416],
         [3958, 1249, 449, 464, 0, 0, 81, 0, 0, 39837, 348, 3430, 0, 1894],
         [9554, 14, 191, 4, 0, 1873, 2358, 0, 0, 11976, 54872, 41264, 0, 13094],
         [72640, 2291, 1295, 564, 0, 7499, 7693, 68, 0, 14004, 76811, 488623, 0, 38592],
         [198, 6, 5, 385, 0, 1163, 1108, 1, 0, 99, 910, 506, 0, 171],
         [108633, 22901, 13074, 422, 0, 113, 5206, 1032, 0, 24525, 41937, 11483, 0, 380127]],
        (0.4626, 0.3012, 0.2151),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_confusion_matrices_give_the_published_scores(name):
    matrix, expected = PUBLISHED[name]
    assert np.sum(matrix) == 3028 * 128 * 128
    found = metrics.scores(np.array(matrix))
    actual = (found.overall_accuracy, found.macro_f1, found.miou)
    assert expected == pytest.approx(actual, abs=5.1e-5)


def test_published_class_scores_are_the_authors_ones():
    found = metrics.scores(np.array(PUBLISHED["transnuseg_concat_w_l1"][0]))
    assert np.round(found.f1, 3).tolist() == [0.756, 0.860, 0.508, 0.041, 0.576, 0.916, 0.012]


def test_a_small_table_has_the_scores_that_one_counts_by_hand():
    truth = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
    guess = np.array([[0, 0, 1, 1], [1, 2, 0, 9]], np.uint8)
    confusion = metrics.confusion_matrix(truth, guess, 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 2, 1], [0, 0, 0]]
    found = metrics.scores(confusion)
    assert pytest.approx(found.f1[:2].tolist()) == [4 / 5, 4 / 6]
    assert pytest.approx(found.iou[:2].tolist()) == [2 / 3, 2 / 4]
    assert pytest.approx(found.macro_f1) == (4 / 5 + 4 / 6) / 2
    assert pytest.approx(found.miou) == (2 / 3 + 2 / 4) / 2
    assert pytest.approx(found.overall_accuracy) == 4 / 6
    assert np.isnan(found.f1[2])
    assert found.support.tolist() == [3, 3, 0]


def test_absent_classes_are_null_and_not_in_the_means():
    found = metrics.scores(np.array([[3, 0], [0, 0]]))
    assert found.macro_f1 == 1
    plain = metrics.described(found, ["a", "b"])
    assert plain["per_class"]["b"] == {"f1": None, "iou": None, "support": 0, "predicted": 0}
    assert plain["classes_with_truth"] == ["a"]
    assert plain["classes_predicted_alone"] == []
    assert plain["macro_f1_truth_or_predicted"] == 1
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_classes_that_are_predicted_alone_are_named_and_in_the_wider_means_with_0():
    found = metrics.scores(np.array([[6, 2, 0, 0], [0, 0, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]]))
    f1 = [12 / 15, 6 / 7]
    assert found.macro_f1 == pytest.approx(np.mean(f1))
    assert found.macro_f1_truth_or_predicted == pytest.approx(sum(f1) / 3)
    assert found.miou == pytest.approx((6 / 9 + 3 / 4) / 2)
    assert found.miou_truth_or_predicted == pytest.approx((6 / 9 + 3 / 4) / 3)
    plain = metrics.described(found, ["a", "b", "c", "d"])
    assert plain["classes_with_truth"] == ["a", "c"]
    assert plain["classes_predicted_alone"] == ["b"]
    assert [row["predicted"] for row in plain["per_class"].values()] == [7, 2, 3, 0]
    assert set(metrics.MEANS) <= set(plain)


def test_an_empty_matrix_scores_nothing():
    found = metrics.scores(np.zeros((4, 4), np.int64))
    assert found.macro_f1 == found.miou_truth_or_predicted == found.overall_accuracy == 0


@settings(deadline=None)  # the first call imports scikit-learn
@given(
    arrays(np.uint8, 60, elements=st.sampled_from([0, 1, 2, 3, 255])),
    arrays(np.uint8, 60, elements=st.integers(0, 4)),
)
def test_scores_agree_with_scikit_learn(truth, guess):
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

    seen = truth != 255
    if not seen.any():
        return
    confusion = metrics.confusion_matrix(truth, guess, 5)
    found = metrics.scores(confusion)
    labels = np.unique(truth[seen])
    pair = truth[seen], guess[seen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert confusion_matrix(*pair, labels=range(5)).tolist() == confusion.tolist()
        assert f1_score(*pair, labels=labels, average="macro") == pytest.approx(found.macro_f1)
        assert jaccard_score(*pair, labels=labels, average="macro") == pytest.approx(found.miou)
        # Without `labels` scikit-learn averages what is true or predicted.
        both = f1_score(*pair, average="macro"), jaccard_score(*pair, average="macro")
        assert both == pytest.approx(
            (found.macro_f1_truth_or_predicted, found.miou_truth_or_predicted)
        )
        assert accuracy_score(*pair) == pytest.approx(found.overall_accuracy)


def test_the_majority_answer_is_right_once():
    confusion = metrics.majority_confusion(np.array([5, 3, 0]), 1)
    assert confusion.tolist() == [[0, 5, 0], [0, 3, 0], [0, 0, 0]]
    assert metrics.scores(confusion).macro_f1 == pytest.approx((0 + 6 / 11) / 2)
