//! What is said when a Modal function fails: memory, the model's files, its name, the computation.
//!
//! A function that serves a model touches files, volumes and the network only to load it. So whatever
//! speaks of those speaks of loading, whether it names the model or not.
#![cfg_attr(rustfmt, rustfmt_skip)]

use super::{Rule, rule};
use crate::analysis::text::Class::{Compute, ModelLoad, OutOfMemory, UnknownModel};

/// Places where data lies while a program runs.
const MEMORY: &[&str] = &[
    "memory", "vram", "heap", "ram ", "hbm", "swap", "kv cache", "cache block", "mem ", "cuda0 buffer",
    "device buffer", "backend buffer", "requested buffer", "arena", "pool malloc", "free blocks", "block pool", "gpu block",
    "kv block", "kv slot", "malloc", "rss ", "resident set", "paging file", "page file", "pagefile", "memcg", "device allocation",
    "grafikspeicher", "speicher", "arbeitsspeicher", "mémoire", "memoire", "memoria", "памят", "内存", "显存", "メモリ",
];
/// Memory in messages that are about something else.
const OTHER_MEMORY: &[&str] = &[
    "illegal memory", "invalid memory", "memory address", "memory format", "memory layout", "memory efficient",
    "shared memory", "pinned memory", "memory map", "memory access", "memory error detected", "memory store",
    "conversation memory", "chat memory",
];
/// Too little of something.
const SHORTAGE: &[&str] = &[
    "out of", "insufficient", "not enough", "no available", "no free", "no more", "no ", "lack", "exhaust",
    "exceed", "low on", "short of", "short by", "ran out", "run out", "running out", "limit", "full ",
    "larger than", "too large", "too little", "too small", "not fit", "doesn t fit", "t fit", "cannot fit", "pressure",
    "overcommit", "enough ", "less than", "smaller than", "more than", "used up", "use up", "above", "over the", "reached",
    "spent", "starv", "saturat", "insuficiente", "insuffisant", "nicht genügend", "erschöpft", "недостаточно", "不足",
];
/// Amounts of memory as they are compared with what there is.
const COMPARED: &[&str] = &[
    "short", "only", "left", "need", "requir", "take", "request", "has ", "have", "free", "over", "above", "exceed",
    "smaller", "larger", "bigger", "available", "remain", "limit", "budget", "usage", "used", "in use", "capacity", "alloc", "reserv",
];
/// What else sizes are told of.
const SIZED_OTHERWISE: &[&str] = &[
    "file", "read ", "download", "disk", "volume", "shard", "safetensor", "upload", "body", "payload", "quota", "incomplete", "shared memory",
];
/// Files that stand for memory, connections or source text, not for a model; and reports that are filed.
const OTHER_FILES: &[&str] = &[
    "paging file", "page file", "swap file", "open files", "file descriptor", "file rss", "in file", "file an issue", "file a bug",
];
/// How a process ended.
const ENDED: &[&str] = &["exit", "return code", "returncode", "signal", "terminated", "status", "code ", "died"];
/// Settings that a model's configuration holds.
const CONFIGURED: &[&str] = &[
    "config ", "configuration", "rope scaling", "rope theta", "hidden size", "num hidden", "num attention", "num key value", "vocab size",
    "max position", "tie word", "quantization config", "quantization method", "quant method", "torch dtype",
];
/// Something was refused or did not work.
const REFUSED: &[&str] = &[
    "fail", "cannot", "can t", "could not", "couldn t", "unable", "bad ", "error", "refus", "denied", "returned",
    "impossible", "not possible", "out of",
];
/// Files and places that only a model is made of or comes from.
const MODEL_FILES: &[&str] = &[
    "safetensor", "checkpoint", "state dict", "shard", "sentencepiece", "gguf", "ggml", "pytorch model",
    "model file", "model bin", "config json", "index json", "tokenizer json", "tokenizer model", "snapshot",
    "revision", "adapter", "lora ", "merges txt", "unpickl", "pickle", "pytorch stream reader", "hugging face",
    "huggingface", "hf ", "hub", "gated", "repo ", "repo id", "repository", "model dir", "model path", "models ",
    "model cache", "cache dir", "model type", "model identifier", "architecture", "configuration class",
    "pretrained", "engine plan", "cuda engine", "serialized engine", "model wrapper", "lm head", "embed tokens", "gewichte",
    "modelldatei", "模型", "poids", "msgpack", "ckpt", "pth ",
];
/// Things that files and services are made of and that a computation never touches.
const STORAGE: &[&str] = &[
    "file", "directory", "folder", "path ", "disk", "volume", "mount", "zip", "tar ", "archive", "bucket", "s3 ",
    "gcs ", "blob", "object operation", "lfs", "http", "https", "url", "download", "fetch", "pull", "connection",
    "max retries", "ssl", "certificate", "name resol", "dns", "fichier", "datei", "文件", "ファイル", "файл",
];
/// What happens to files and services that cannot be had or read.
const NOT_HAD: &[&str] = &[
    "no such", "nosuch", "not found", "no file", "missing", "not exist", "doesn t exist", "not mounted", "empty", "locate",
    "401 ", "403 ", "404 ", "unauthori", "forbidden", "denied", "permission", "not permitted", "credential",
    "corrupt", "invalid", "header", "mismatch", "truncat", "incomplete", "eof ", "end of file", "bytes", "checksum",
    "fail", "cannot", "can t", "could not", "couldn t", "unable", "no space", "full ", "quota", "read only",
    "unsupported", "bad ", "not a ", "unexpected", "max retries", "refused", "reset", "timed out", "error",
    "introuvable", "nicht gefunden", "失败",
];
/// Ways in which a file turns out to be another than expected.
const BAD_FORMAT: &[&str] = &[
    "deserial", "magic", "bad zip", "central directory", "load key", "checksum", "sha256", "sha 256", "sha1", "md5",
    "corrupt", "unexpected eof", "end of file", "eof error", "truncat", "header too", "unknown tensor type",
    "tensor info", "missing key ", "unexpected key ", "untagged enum", "stream reader", "incomplete download",
];
/// Being let in.
const ACCESS: &[&str] = &[
    "401 ", "403 ", "unauthori", "forbidden", "gated", "access denied", "access token", "hf token", "api token",
    "permission denied", "not authenticated", "authenticat", "credential", "license", "restricted",
];

pub(super) const RULES: &[Rule] = &[
    // Memory.
    Rule { class: OutOfMemory, weight: 0.85, all: &[SHORTAGE, MEMORY], unless: OTHER_MEMORY },
    Rule { class: OutOfMemory, weight: 0.4, all: &[MEMORY], unless: OTHER_MEMORY },
    rule(OutOfMemory, 0.95, &[&["oom", "bad alloc", "enomem", "errno 12 ", "memory error", "out of memory", "rlimit", "显存不足", "内存不足"]]),
    rule(OutOfMemory, 0.8, &[&["alloc", "malloc", "mem alloc", "cu mem", "cuda malloc", "memory allocation", "cuda error memory"], REFUSED]),
    rule(OutOfMemory, 0.6, &[&["tried to alloc", "trying to alloc", "requested alloc", "resource allocation", "cannot reserve"]]),
    Rule { class: OutOfMemory, weight: 0.6, all: &[&["out of resources"]], unless: OTHER_MEMORY },
    rule(OutOfMemory, 0.75, &[&["137 ", "sigkill", "signal 9 ", "signal kill", "killed "]]),
    rule(OutOfMemory, 0.75, &[ENDED, &["9 "]]),
    rule(OutOfMemory, 0.7, &[&["insufficient", "not enough", "no room", "ran out", "exhaust"], &["alloc", "device", "gpu", "buffer", "pool"]]),
    Rule { class: OutOfMemory, weight: 0.5, all: &[&["#size "]], unless: SIZED_OTHERWISE },
    Rule { class: OutOfMemory, weight: 0.4, all: &[&["#sizes "]], unless: SIZED_OTHERWISE },
    Rule { class: OutOfMemory, weight: 0.5, all: &[&["#size "], COMPARED], unless: SIZED_OTHERWISE },
    rule(OutOfMemory, 0.5, &[&["resource exhausted"]]),
    rule(OutOfMemory, 0.5, &[&["not fit", "t fit", "too large", "too big"], &["device", "gpu", "card", "accelerator"]]),
    // The model's files.
    rule(ModelLoad, 0.6, &[MODEL_FILES]),
    rule(ModelLoad, 0.5, &[MODEL_FILES, NOT_HAD]),
    Rule { class: ModelLoad, weight: 0.6, all: &[STORAGE, NOT_HAD], unless: OTHER_FILES },
    Rule { class: ModelLoad, weight: 0.5, all: &[CONFIGURED], unless: &["cuda error"] },
    rule(ModelLoad, 0.3, &[CONFIGURED, &["unknown", "unsupported", "not support", "must be", "missing", "no attribute", "invalid", "unrecogni", "unexpected"]]),
    rule(ModelLoad, 0.55, &[&["while load", "when load", "during load", "loading", "while restor", "deserial"]]),
    rule(ModelLoad, 0.45, &[&["загруз", "cargar", "chargement", "charger", "laden ", "geladen", "加载", "読み込"]]),
    rule(ModelLoad, 0.6, &[BAD_FORMAT]),
    rule(ModelLoad, 0.6, &[ACCESS]),
    rule(ModelLoad, 0.5, &[
        &["weight", "tokenizer", "vocab", "quantiz", "quantis", "awq", "gptq", "bitsandbytes", "onnx", "mmap", "layers"],
        &["missing", "not found", "not exist", "load", "open", "read", "require", "install", "mismatch", "disk", "unable", "extract", "unsupported", "cannot find"],
    ]),
    // Names of a model's parameters.
    rule(ModelLoad, 0.6, &[&["proj ", "lm head", "embed tokens", "layernorm", "layer norm", "ffn ", "mlp ", "self attn"], &["weight", "bias", "qweight", "qzeros", "scales"]]),
    rule(ModelLoad, 0.7, &[&["weight", "bias"], &["mismatch for", "expected shape", "tensor of shape"]]),
    rule(ModelLoad, 0.6, &[
        &["load", "initiali", "instantiat", "materiali", "warm", "prepar"],
        &["model", "weight", "checkpoint", "tokenizer", "layer", "pipeline", "engine", "llm"],
    ]),
    rule(ModelLoad, 0.45, &[&["load", "start", "create", "build", "initiali"], &["fail", "cannot", "can t", "could not", "couldn t", "unable"]]),
    rule(ModelLoad, 0.4, &[&["model", "engine", "server", "worker"], &["not ready", "not loaded", "not initiali", "unavailable", "become ready", "come up", "came up", "warm"]]),
    rule(ModelLoad, 0.55, &[&["no module named", "import error", "cannot import", "module not found", "undefined symbol", "shared object", "not installed", "not imported", "not currently imported"]]),
    rule(ModelLoad, 0.7, &[&["from pretrained", "load model", "load state dict", "safe open", "hf hub download", "snapshot download"]]),
    rule(ModelLoad, 0.25, &[&["os error", "io error", "environment error"]]),
    rule(ModelLoad, 0.6, &[&["no space left", "disk quota", "disk full"]]),
    rule(ModelLoad, 0.5, &[&["input output error", "stale file handle", "stale nfs", "transport endpoint"]]),
    // The model's name.
    rule(UnknownModel, 0.7, &[
        &["model"],
        &[
            "unknown", "not found", "not support", "unsupported", "unrecogni", "not recogni", "invalid", "no such",
            "not exist", "doesn t exist", "not registered", "not available", "not configured", "not in ", "one of",
            "not allowed", "not deployed", "not served", "undefined", "no model", "not loaded", "choose",
        ],
    ]),
    rule(UnknownModel, 0.3, &[&["key error", "lookup error", "registry", "allowlist", "whitelist"]]),
    // The computation.
    rule(Compute, 0.6, &[&[
        "shape", "dtype", "scalar type", "tensor a", "tensor b", "tensors", "probability tensor", "dimension", "matri", "mat1", "broadcast",
        "stride", "operand", "logits", "probabilit", "attention", "past key", "input ids", "token id", "eos ", "pad token",
        "sampl", "temperature", "beam", "batch", "reshape", "non singleton", "aten", "embedding", "softmax", "rope ",
    ]]),
    rule(Compute, 0.75, &[&[
        "index out of", "out of range", "out of bounds", "bounds", "device side assert", "illegal memory", "illegal instruction",
        "nan ", "inf ", "not a number", "division", "divide", "divided", "overflow", "underflow", "singular", "execution failed", "cudnn",
        "nccl", "same device", "kernel", "misaligned", "launch", "segmentation", "sigsegv", "signal 11 ", "core dumped",
        "assertion", "triton error", "xid ", "ecc error", "fell off the bus", "unspecified", "device lost", "gpu lost",
    ]]),
    // Mistakes that a language reports of the program itself.
    rule(Compute, 0.8, &[&[
        "attribute error", "no attribute", "keyword argument", "positional argument", "type error", "not subscriptable",
        "not iterable", "not callable", "none type", "index error", "name error", "unbound local", "before assignment",
        "null pointer", "null reference", "not implemented", "too many values", "assertion error", "assert ",
        "zero division", "recursion", "stop iteration", "stop async", "object reference", "read properties", "coroutine",
    ]]),
    rule(Compute, 0.6, &[&[
        "unicode", "codec", "jinja", "template", "unwrap", "panic", "expected str", "math domain", "arithmetic",
        "concatenate", "unreachable code", "event loop", "background loop", "json decode", "validation error", "slice",
        "floating point", "broken process", "unhandled exception", "deadlock", "thread", "never happen", "not correctly aligned",
        "toolchain", "engine dead", "iteration",
    ]]),
    rule(Compute, 0.45, &[&[
        "max length", "sequence length", "input length", "context length", "context window", "too long", "max new tokens",
        "generat", "forward", "cuda error", "conversation roles", "prompt", "stop sequence", "post process", "decod",
        "regex", "argument", "must be", "must match", "expected", "xformers", "backend",
    ]]),
    rule(Compute, 0.25, &[&["runtime error", "value error", "key error", "lookup error", "exception", "bug "]]),
];
