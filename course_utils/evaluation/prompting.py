"""A model asked by any prompt, as plain text or in the turns of its own template, by likelihood or by writing.

Shapes: N items, C labels.
"""

import json
import re
from dataclasses import dataclass

from course_utils.data.dialogue import first_token
from course_utils.data.many_tasks import Task
from course_utils.evaluation import many_tasks
from course_utils.models import prefix, sampling


@dataclass(frozen=True)
class Asked:
    """A model that is asked by prompts.

    model, tokenizer: as `load_base` or `load_chat` return them.
    turns: True puts a prompt into the user's turn of the tokenizer's chat template, False gives it as it stands.
    """

    model: object
    tokenizer: object
    turns: bool

    def whole(self, prompt):
        """The prompt as the model reads it, up to where its answer begins."""
        if not self.turns:
            return prompt
        said = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)

    def encoded(self, text):
        """Token ids; <bos> in front of plain text, while turns bring what they begin with."""
        return [*([] if self.turns else first_token(self.tokenizer)), *self._tokens(text)]

    def _tokens(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @property
    def ends(self):
        """Ids that end an answer: the end of the turn, or, of plain text, the end of the line."""
        if self.turns:
            return self._model_ends
        breaks = {ids[0] for line in ("\n", "\n\n") if len(ids := self._tokens(line)) == 1}
        return sorted({*self._model_ends, *breaks})

    @property
    def _model_ends(self):
        known = self.model.generation_config.eos_token_id
        return sorted(known) if isinstance(known, list) else [known]

    def scores(self, prompt, words, texts):
        """(N, C) log p of each label word behind the prompt, among the label words.

        Args:
            prompt: with one place {text}, or with none: then all texts have the same scores.
            words: C label words, each beginning with a space, which is left out where the answer begins a line.
            texts: N.

        Raises:
            ValueError: two label words begin with one token.
        """
        before, place, after = self.whole(prompt).partition("{text}")
        opens = not (before + place + after) or (before + place + after).endswith("\n")
        labels = [self._tokens(word.lstrip() if opens else word)[0] for word in words]
        if len(set(labels)) < len(labels):
            raise ValueError(f"Two of the label words {words} begin with one token. Choose others.")
        if not place:
            logits = sampling.next_token_logits(self.model, self.encoded(before) or [self.tokenizer.eos_token_id])
            return logits[labels].log_softmax(-1).expand(len(texts), -1)
        stem = before.rstrip(" ")  # a space belongs to the token behind it
        start = self.encoded(stem) or [self.tokenizer.eos_token_id]
        asked = [self._tokens(f"{before[len(stem) :]}{text}{after}") for text in texts]
        return prefix.label_logprobs(self.model, prefix.read_prefix(self.model, start), asked, labels)

    def judged(self, prompt, task, words=None):
        """{"raw", "calibrated": (N,)} of right answers to the test part of a `many_tasks.Task` under a prompt."""
        asked = Task(task.name, "{text}", tuple(words or task.words), [], task.unlabelled, task.test)
        return many_tasks.ask(lambda _, __, texts: self.scores(prompt, asked.words, texts), asked, [])

    def write(self, prompts, *, new_tokens, temperature=0.0, seed=0, reshape=None, lines=False, begun=None):
        """The answer to each prompt without its end: the first line of plain text, the first paragraph in turns.

        Args:
            prompts: texts. new_tokens: of an answer at most. temperature, seed, reshape: as for `sampling.sample`.
            lines: True takes all that is written, over lines and paragraphs.
            begun: how each answer begins, a text a prompt; nothing begins when None. It is not given back.
        """
        begun = begun or [""] * len(prompts)
        starts = [self.whole(prompt) + before for prompt, before in zip(prompts, begun, strict=True)]
        rows = sampling.sample(
            self.model, [self.encoded(start) for start in starts], max_new_tokens=new_tokens, temperature=temperature,
            stop_tokens=self._model_ends if lines else self.ends, seed=seed, reshape=reshape,
        )  # fmt: skip
        texts = [self.tokenizer.decode(row.tokens, skip_special_tokens=True) for row in rows]
        return texts if lines else [text.split("\n\n")[0] for text in texts]


def object_in(text):
    """The first JSON object that stands in a text, as it stands there; the text itself when none does."""
    for brace in re.finditer("{", text):
        try:
            return text[brace.start() : json.JSONDecoder().raw_decode(text, brace.start())[1]]
        except ValueError:
            continue
    return text
