//! Several hundred texts with and without secrets, made at run time, and how many are judged wrongly.
//! No secret in here is anybody's: all are drawn by a generator with a fixed seed.

use super::clean;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEXADECIMAL: &[u8] = b"0123456789abcdef";

/// Draws as a key generator does, but always the same.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        // The constants of Knuth's MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0)
    }

    fn text(&mut self, letters: &[u8], length: usize) -> String {
        let one = |_| char::from(letters[self.next() % letters.len()]);
        (0..length).map(one).collect()
    }
}

/// A form of secret, its text, and the secret in it.
fn secrets(draw: &mut Draw) -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    for round in 0..20 {
        let length = 32 + draw.next() % 24;
        let mut key = draw.text(LETTERS, length);
        // A generator's key without a digit is rarer than this corpus is large.
        key.replace_range(3..5, "7q");
        let short: String = key.chars().take(14).collect();
        let upper = draw.text(UPPER, 16);
        let said = [
            "cannot load model",
            "401 Client Error",
            "upload failed",
            "retrying",
        ][round % 4];
        let mut add = |form, text: String, secret: &str| all.push((form, text, secret.to_owned()));
        let url = format!("{said}: postgres://beacon:{short}@db.example/neondb?sslmode=require");
        add("URL with a password", url, &short);
        add(
            "bearer token",
            format!("{said}: Authorization: Bearer {key}"),
            &key,
        );
        let curl = format!("{said} with header bearer {key}");
        add("bearer token", curl, &key);
        let hugging = format!("hf_{key}");
        add(
            "Hugging Face",
            format!("{said}: Invalid user token {hugging}."),
            &hugging,
        );
        let open = format!("sk-proj-{key}");
        add(
            "OpenAI",
            format!("{said}: Incorrect API key provided: {open}"),
            &open,
        );
        let amazon = format!("AKIA{upper}");
        add(
            "AWS",
            format!("{said}: key id {amazon} is not known"),
            &amazon,
        );
        add(
            "AWS",
            format!("{said}: aws_secret_access_key = {key}"),
            &key,
        );
        let modal = format!("as-{key}");
        add(
            "Modal",
            format!("{said}: token secret {modal} was revoked"),
            &modal,
        );
        add(
            "named value",
            format!("{said}: {{\"api_key\": \"{short}\"}}"),
            &short,
        );
        add(
            "named value",
            format!("{said} PGPASSWORD={short} psql"),
            &short,
        );
        add(
            "high entropy",
            format!("{said}: unexpected value {key} in header"),
            &key,
        );
        let web = format!("eyJ{key}.eyJ{key}.{key}");
        add("web token", format!("{said}: session {web} is over"), &key);
    }
    all
}

fn harmless(draw: &mut Draw) -> Vec<String> {
    let mut all = Vec::new();
    for round in 0..25 {
        let number = draw.next() % 100_000;
        let hash = draw.text(HEXADECIMAL, 64);
        let id = draw.text(UPPER, 26);
        let (first, second) = (hash.split_at(8).0, hash.split_at(32).0);
        all.extend([
            format!("CUDA out of memory. Tried to allocate {number} MiB (GPU 0; 14.58 GiB total capacity)"),
            format!("fc-{id} ta-{id} in asia-pacific"),
            format!("sha256:{hash} differs"),
            format!("commit {second} of model mistral-7b-instruct-v0.{round}"),
            format!("trace {first}-ec23-8b4b-a334-430068f8d68b has {number} spans"),
            format!("max_tokens={number}, tokens: {number}, token_count={number}"),
            format!("File \"/usr/local/lib/python3.11/site-packages/torch/nn/modules/layer_{number}.py\", line {number}"),
            format!("Post \"https://router.example/inference/{number}\": dial tcp 10.0.0.7:443: connection refused"),
            format!("KeyError: 'attention_mask_{number}'"),
            format!("tokenizer key is missing: tokenizer_config_{number}.json"),
            format!("jane.doe{number}@mail.example asked for llama-3.2-1b-instruct-q4_K_M.gguf"),
            format!("HTTP 503 from https://models.example/v{round}/chat/completions after {number} ms"),
        ]);
    }
    all
}

#[test]
fn no_secret_of_the_corpus_stays_and_no_harmless_text_changes() {
    let mut draw = Draw(20_251_022);
    let secrets = secrets(&mut draw);
    let harmless = harmless(&mut draw);
    let missed = |(_, text, secret): &&(&str, String, String)| clean(text, 4096).contains(secret);
    let missed: Vec<_> = secrets.iter().filter(missed).collect();
    let wrong: Vec<_> = harmless
        .iter()
        .filter(|text| clean(text, 4096) != **text)
        .collect();
    let mut forms: Vec<&str> = secrets.iter().map(|(form, ..)| *form).collect();
    forms.sort_unstable();
    forms.dedup();
    for form in forms {
        let of = |found: &(&str, String, String)| found.0 == form;
        let all = secrets.iter().filter(|one| of(one)).count();
        let missed = missed.iter().filter(|one| of(one)).count();
        eprintln!("{form}: {missed} of {all} missed");
    }
    eprintln!("harmless: {} of {} changed", wrong.len(), harmless.len());
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
