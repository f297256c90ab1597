"""Three models on Modal, traced by printed lines: what the app's logs show, the collector stores.

Deploy it once for each region; the region goes into the image, so that the container knows it too:

    BEACON_REGION=us-east      modal deploy examples/modal_app.py
    BEACON_REGION=eu-west      modal deploy examples/modal_app.py
    BEACON_REGION=asia-pacific modal deploy examples/modal_app.py

Call a function with the execution's ids, and its span is linked to that execution by name:

    infer = modal.Function.from_name("project-beacon-hf-eu-west", "run_mistral_7b")
    infer.remote("Who are you?", trace_id=trace_id, execution_id=execution_id, job_id=job_id)
"""

import os

import modal

from beacon_trace import current, span, traced

REGION = os.environ.get("BEACON_REGION", "us-east")
# Modal's own name for where to run, by what the rest of the system calls the region.
MODAL_REGIONS = {"us-east": "us-east", "eu-west": "eu-west", "asia-pacific": "ap"}
REPOSITORIES = {
    "llama3.2-1b": "meta-llama/Llama-3.2-1B-Instruct",
    "mistral-7b": "mistralai/Mistral-7B-Instruct-v0.3",
    "qwen2.5-1.5b": "Qwen/Qwen2.5-1.5B-Instruct",
}

app = modal.App(f"project-beacon-hf-{REGION}")
image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install("torch", "transformers", "accelerate")
    .env({"BEACON_REGION": REGION})
    .add_local_python_source("beacon_trace")  # the one file, from beside this one or installed
)
placed = {
    "image": image,
    "region": MODAL_REGIONS[REGION],
    "secrets": [modal.Secret.from_name("huggingface")],
    "timeout": 600,
}
CONTEXT = ("trace_id", "execution_id", "job_id", "traceparent")
loaded = {}


def load(model):
    """The model's pipeline, loaded once in each container: a span of its own, so a cold start shows."""
    if model not in loaded:
        with span("Modal model load", model=model, region=REGION):
            from transformers import pipeline

            loaded[model] = pipeline("text-generation", model=REPOSITORIES[model], device_map="auto")
    return loaded[model]


def infer(model, prompt):
    """What the three functions share. An exception here ends the function's span as FAILED."""
    traced_call = current()
    generate = load(model)
    traced_call.step("Model validated", model=model)
    answer = generate(prompt, max_new_tokens=500, return_full_text=False)[0]["generated_text"]
    traced_call.set(tokens=len(generate.tokenizer.encode(answer)))
    return {"status": "success", "model": model, "region": REGION, "response": answer}


@app.function(gpu="T4", **placed)
@traced("Modal inference", model="llama3.2-1b", region=REGION, arguments=CONTEXT)
def run_llama3_2_1b(prompt, trace_id=None, execution_id=None, job_id=None, traceparent=None):
    return infer("llama3.2-1b", prompt)


@app.function(gpu="A10G", **placed)
@traced("Modal inference", model="mistral-7b", region=REGION, arguments=CONTEXT)
def run_mistral_7b(prompt, trace_id=None, execution_id=None, job_id=None, traceparent=None):
    return infer("mistral-7b", prompt)


@app.function(gpu="T4", **placed)
@traced("Modal inference", model="qwen2.5-1.5b", region=REGION, arguments=CONTEXT)
def run_qwen2_5_1_5b(prompt, trace_id=None, execution_id=None, job_id=None, traceparent=None):
    """This one answers with its failure instead of raising it, and says so to its span."""
    try:
        return infer("qwen2.5-1.5b", prompt)
    except Exception as error:
        current().fail(error)
        return {"status": "failed", "model": "qwen2.5-1.5b", "region": REGION, "error": str(error)}
