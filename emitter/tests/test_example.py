"""The example is what it says: a Modal app whose functions print spans that name their execution.

Modal and transformers are stood in for by the little of them that the example uses.
"""

import importlib.util
import os
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

from tests.support import anonymous, captured

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "modal_app.py"
CONTEXT = {"trace_id": "0af76519-16cd-43dd-8448-eb211c80319c", "execution_id": 2379, "job_id": "job-17"}
SHOWN = "trace_id=0af76519-16cd-43dd-8448-eb211c80319c, execution_id=2379, job_id=job-17"
FUNCTIONS = {"llama3.2-1b": "run_llama3_2_1b", "mistral-7b": "run_mistral_7b", "qwen2.5-1.5b": "run_qwen2_5_1_5b"}


class App:
    """Of modal.App: a name and the decorator, which keeps what a function was placed with."""

    def __init__(self, name):
        self.name, self.placed = name, {}

    def function(self, **where):
        def decorate(function):
            self.placed[function.__name__] = where
            return function

        return decorate


class Image:
    """Of modal.Image: what the example chains."""

    def __getattr__(self, _step):
        return lambda *_args, **_kwargs: self


def pipeline(_task, model, device_map):
    """Of transformers.pipeline: answers with the prompt, and knows how to fail."""

    def generate(prompt, **_options):
        if prompt == "too long":
            raise MemoryError("CUDA out of memory. Tried to allocate 1.16 GiB")
        return [{"generated_text": f"answer of {model} on {device_map}"}]

    generate.tokenizer = types.SimpleNamespace(encode=str.split)
    return generate


def example(region):
    modal = types.ModuleType("modal")
    modal.App = App
    modal.Image = types.SimpleNamespace(debian_slim=lambda **_: Image())
    modal.Secret = types.SimpleNamespace(from_name=lambda name: name)
    transformers = types.ModuleType("transformers")
    transformers.pipeline = pipeline
    spec = importlib.util.spec_from_file_location("modal_app", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ, BEACON_REGION=region), mock.patch.dict(sys.modules, modal=modal):
        spec.loader.exec_module(module)
    return module, mock.patch.dict(sys.modules, transformers=transformers)


class Example(unittest.TestCase):
    def test_three_models_in_three_regions_print_their_spans_with_the_executions_context(self):
        for region, place in {"us-east": "us-east", "eu-west": "eu-west", "asia-pacific": "ap"}.items():
            module, installed = example(region)
            self.assertEqual(module.app.name, f"project-beacon-hf-{region}")
            self.assertEqual(set(module.app.placed), set(FUNCTIONS.values()))
            for model, name in FUNCTIONS.items():
                self.assertEqual(module.app.placed[name]["region"], place)
                with captured() as lines, installed:
                    answer = getattr(module, name)("Who are you?", **CONTEXT)
                self.assertEqual((answer["status"], answer["model"], answer["region"]), ("success", model, region))
                self.assertEqual(
                    anonymous(lines),
                    [
                        f"🔍 TRACE[A]: Modal inference started - {SHOWN}, model={model}, region={region}",
                        f"🔍 TRACE[B]: Modal model load started - {SHOWN}, parent=A, model={model}, region={region}",
                        "🔍 TRACE[B]: SUCCESS - duration=0.00s",
                        f"🔍 TRACE[A]: Model validated - model={model}",
                        f"🔍 TRACE[A]: SUCCESS - duration=0.00s, tokens={len(answer['response'].split())}",
                    ],
                )

    def test_the_second_call_of_a_container_loads_no_model(self):
        module, installed = example("us-east")
        with installed, captured() as lines:
            module.run_mistral_7b("one")
            module.run_mistral_7b("two")
        self.assertEqual(sum("model load started" in line for line in lines), 1)

    def test_a_failure_is_printed_whether_it_is_raised_or_answered(self):
        module, installed = example("eu-west")
        with installed, captured() as raised, self.assertRaises(MemoryError):
            module.run_mistral_7b("too long")
        with installed, captured() as answered:
            self.assertEqual(module.run_qwen2_5_1_5b("too long")["status"], "failed")
        for lines in (raised, answered):
            self.assertRegex(lines[-1], r'FAILED - error="MemoryError: CUDA out of memory\. .*", duration=')


if __name__ == "__main__":
    unittest.main()
