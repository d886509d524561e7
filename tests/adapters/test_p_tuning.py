import pytest
import torch
from helpers import two_layer_gemma

from course_utils.adapters import library, p_tuning, prompt_tuning, weights


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_deleting_the_encoder_changes_nothing(ours, logits, kind):
    model = ours("p-tuning", {"tokens": 4, "kind": kind})
    expected, trained = logits(model), weights.count(model)
    p_tuning.drop_encoder(model)
    # with a gradient torch takes another kernel for an LSTM than without
    torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)
    assert weights.count(model) == 4 * 32 < trained
    assert isinstance(model.virtual_tokens, prompt_tuning.SoftPrompt)


def test_an_lstm_lets_neighbours_speak_an_mlp_does_not():
    for kind, changed in (("mlp", [True, False, False]), ("lstm", [True, True, True])):
        torch.manual_seed(0)
        encoder = p_tuning.PromptEncoder(3, 8, kind=kind)
        before = encoder()
        encoder.embedding.weight.data[0] += 1
        assert [not torch.equal(a, b) for a, b in zip(encoder(), before, strict=True)] == changed


def test_anchors_stand_where_the_template_has_them(base):
    torch.manual_seed(0)
    model = p_tuning.inject(base, anchors=[None, 17, None, None, 35])
    vectors = model.virtual_tokens()
    assert vectors.shape == (5, 32)
    assert torch.equal(vectors[[1, 4]], base.get_input_embeddings()(torch.tensor([17, 35])))
    vectors.sum().backward()
    assert weights.count(model) == 3 * 32 + 3 * (32 * 32 + 32)
    assert torch.equal(vectors[[0, 2, 3]], model.virtual_tokens.encoder())


@pytest.mark.parametrize("anchors", [[17, 35], [None, None]])
@pytest.mark.parametrize("attach", [p_tuning.inject, lambda model, **sizes: library.attach(model, "p-tuning", **sizes)])
def test_a_template_has_both_vectors_and_words(attach, anchors, base):
    with pytest.raises(ValueError, match="both learned vectors and fixed words"):
        attach(base, anchors=anchors)
    assert all(weight.requires_grad for weight in base.parameters()), "refused before anything is changed"


def test_with_anchors_the_learned_vectors_start_as_the_text():
    model = library.attach(two_layer_gemma.build(), "p-tuning", anchors=[None, 17, None], text_ids=[21, 4], hidden=8)
    words = model.get_input_embeddings()(torch.tensor([21, 17, 4]))
    torch.testing.assert_close(model.get_prompt(1)[0], words, rtol=1e-3, atol=1e-3)


def test_every_weight_of_the_encoder_learns(ours, logits):
    model = ours("p-tuning", {"tokens": 4, "kind": "lstm", "layers": 1})
    logits(model)[:, 5].sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in weights.trained(model).values())


def test_another_kind_is_refused(base):
    with pytest.raises(ValueError, match=r"no encoder 'gru'. Choose 'mlp' or 'lstm'"):
        p_tuning.inject(base, kind="gru")


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
@pytest.mark.parametrize("attach", [p_tuning.inject, lambda model, **sizes: library.attach(model, "p-tuning", **sizes)])
def test_an_encoder_can_start_as_a_text(attach, kind):
    model = attach(two_layer_gemma.build(), tokens=6, hidden=16, kind=kind, text_ids=[17, 35, 21, 4])
    vectors = model.virtual_tokens() if hasattr(model, "virtual_tokens") else model.get_prompt(1)[0]
    words = model.get_input_embeddings()(torch.tensor([17, 35, 21, 4, 17, 35]))
    torch.testing.assert_close(vectors, words, rtol=1e-3, atol=1e-3)


def test_without_a_text_the_network_starts_by_itself():
    vectors = p_tuning.inject(two_layer_gemma.build(), tokens=6).virtual_tokens()
    words = prompt_tuning.start(two_layer_gemma.build(), 6, [17])
    assert vectors.norm(dim=-1).max() < words.norm(dim=-1).min()
