//! Takes secrets out of text: what people's libraries print into error messages when a download or a
//! login fails.
//!
//! Patterns name the well-known forms; a name such as `api_key=` marks the value behind it; what is
//! left are long mixed strings of high entropy. A text without any of the literals that these begin
//! with is not looked at twice.

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use regex::{Captures, Regex};

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Shortest string that is judged by its entropy alone.
const MIN_RANDOM: usize = 32;
/// Bits for each character above which a long mixed string counts as random. English is near 4.1
/// with upper case and digits mixed in, 32 random base-62 characters are above 4.5 nearly always.
const RANDOM_BITS: f64 = 4.2;

/// Says what replaces a match; `None` when it is no secret after all.
type Replace = fn(&Captures<'_>) -> Option<String>;

/// A form of secret: how it looks, and what of it is kept.
struct Form {
    name: &'static str,
    pattern: Regex,
    replace: Replace,
}

/// What is taken out; set once at the start of the process.
static CHOSEN: OnceLock<Redaction> = OnceLock::new();

/// Which forms of secrets are taken out of text.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    /// Whether e-mail addresses are taken for secrets.
    pub emails: bool,
    /// Names of forms that stay, of those in [`FORM_NAMES`].
    pub off: Vec<String>,
    /// Further patterns, whose matches go whole.
    pub also: Vec<Regex>,
}

/// The names of all forms that can be switched off.
pub const FORM_NAMES: [&str; 8] = [
    "url-passwords",
    "private-keys",
    "authorization",
    "bearer",
    "known-keys",
    "passwords",
    "named-values",
    "random",
];

/// Says what is taken out from here on; only the first word counts.
pub fn configure(redaction: Redaction) {
    // An error: it was said before.
    drop(CHOSEN.set(redaction));
}

fn chosen() -> &'static Redaction {
    CHOSEN.get_or_init(Redaction::default)
}

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| forms(chosen()));

/// The forms that a choice leaves in force.
fn forms(chosen: &Redaction) -> Vec<Form> {
    let whole: Replace = |_| Some(REDACTED.to_owned());
    let first: Replace = |found| Some(format!("{}{REDACTED}", &found[1]));
    let forms: [(&str, Replace); 7] = [
        // scheme://user:password@host
        (
            r#"([A-Za-z][A-Za-z0-9+.-]*://[^\s/@:'"]*:)[^\s/'"]+(@)"#,
            |found| Some(format!("{}{REDACTED}{}", &found[1], &found[2])),
        ),
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            whole,
        ),
        (
            r"(?i)(\bauthorization['\x22]?\s*[:=]\s*['\x22]?(?:basic|bearer|token)?\s*)[A-Za-z0-9._~+/=-]{6,}",
            first,
        ),
        (r"(?i)(\bbearer\s+)([A-Za-z0-9._~+/=-]{12,})", |found| {
            has_digit(&found[2]).then(|| format!("{}{REDACTED}", &found[1]))
        }),
        // Hugging Face, OpenAI and Anthropic, AWS, Modal, GitHub, GitLab, Slack, JSON web tokens.
        (
            concat!(
                r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}",
                r"|(?:ak|as)-[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
                r"|glpat-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{20,}",
                r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"
            ),
            whole,
        ),
        (
            r#"(?i)((?:password|passwd|passphrase|pwd)['"]?\s*[:=]\s*['"]?)[^\s'",;&}\])]{3,}"#,
            first,
        ),
        (
            concat!(
                r"(?i)((?:secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)s?",
                r#"['"]?\s*[:=]\s*['"]?)([^\s'",;&}\])]{12,})"#
            ),
            |found| has_digit(&found[2]).then(|| format!("{}{REDACTED}", &found[1])),
        ),
    ];
    // The patterns are constants that every test compiles; one that did not would be left out.
    let compile = |(name, (pattern, replace)): (&'static str, (&str, Replace))| {
        Regex::new(pattern).ok().map(|pattern| Form {
            name,
            pattern,
            replace,
        })
    };
    let named = FORM_NAMES.into_iter().zip(forms).filter_map(compile);
    let mut forms: Vec<Form> = named
        .filter(|form| !chosen.off.iter().any(|off| off == form.name))
        .collect();
    let email = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}";
    let email = chosen.emails.then(|| Regex::new(email).ok()).flatten();
    for pattern in email.into_iter().chain(chosen.also.iter().cloned()) {
        forms.push(Form {
            name: "own",
            pattern,
            replace: whole,
        });
    }
    forms
}

/// Every form begins with, or is named by, one of these.
static HINTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let hints = r"(?i)://|-----begin|bearer|authorization|hf_|sk-|akia|asia|ak-|as-|gh[pousr]_|github_pat|glpat|xox|eyj|passw|passp|pwd|secret|token|key|credential";
    Regex::new(hints).ok()
});

/// `text` with every secret that was recognised replaced by `[redacted]`.
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    let chosen = chosen();
    if has_own_forms() || HINTS.as_ref().is_none_or(|hints| hints.is_match(text)) {
        return redact_with(&FORMS, chosen, text);
    }
    redact_random(Cow::Borrowed(text), chosen)
}

/// Whether forms were chosen of which nothing is known: they have no hints and may be short.
pub(super) fn has_own_forms() -> bool {
    let chosen = chosen();
    chosen.emails || !chosen.also.is_empty()
}

fn redact_with<'a>(forms: &[Form], chosen: &Redaction, text: &'a str) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for form in forms {
        let replaced = form.pattern.replace_all(&text, |found: &Captures<'_>| {
            (form.replace)(found).unwrap_or_else(|| found[0].to_owned())
        });
        if let Cow::Owned(replaced) = replaced {
            text = Cow::Owned(replaced);
        }
    }
    redact_random(text, chosen)
}

/// Replaces long strings that look drawn by chance.
fn redact_random<'a>(text: Cow<'a, str>, chosen: &Redaction) -> Cow<'a, str> {
    if text.len() < MIN_RANDOM || chosen.off.iter().any(|off| off == "random") {
        return text;
    }
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '=');
    let words = text.split(|c: char| !part_of_word(c));
    let random: Vec<String> = words
        .filter(|word| is_random(word))
        .map(str::to_owned)
        .collect();
    if random.is_empty() {
        return text;
    }
    let mut text = text.into_owned();
    for word in random {
        text = text.replace(&word, REDACTED);
    }
    Cow::Owned(text)
}

/// Long, of upper case, lower case and digits, with no repetition to speak of. Ids of containers and
/// calls, UUIDs, hashes and paths lack one of these.
fn is_random(word: &str) -> bool {
    let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
    word.len() >= MIN_RANDOM
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && word.bytes().filter(u8::is_ascii_digit).count() >= 2
        && entropy(word) > RANDOM_BITS
}

/// Shannon entropy in bits for each character.
fn entropy(word: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in word.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = word.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(share)
        .map(|p| -p * p.log2())
        .sum()
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the corpus is ASCII")]
mod tests {
    use super::*;

    /// `length` characters as a key generator would draw them; nothing here is anybody's key.
    fn drawn(length: usize) -> String {
        const LETTERS: &[u8] = b"aZ3kQ9xB7mW1tR5vY8cL2nH6pD4sJ0gFuEiOhTqKzVyXwUrNbMdCfAjGlSeP";
        let letters = LETTERS.iter().cycle().skip(7).step_by(11);
        letters.take(length).map(|byte| char::from(*byte)).collect()
    }

    fn secrets() -> Vec<String> {
        let key = drawn(40);
        let upper = key.to_uppercase();
        vec![
            format!(
                "cannot connect to postgres://beacon:{}@db.example/neondb",
                &key[..12]
            ),
            format!("Authorization: Bearer {key}"),
            format!("headers={{'Authorization': 'Basic {}'}}", &key[..20]),
            format!("401 for bearer {key}"),
            format!("Invalid token hf_{}", &key[..34]),
            format!("Incorrect API key provided: sk-{key}"),
            format!("key sk-proj-{key} is disabled"),
            format!("AKIA{} was not found", &upper[..16]),
            format!("aws_secret_access_key={key}"),
            format!("token id ak-{} secret as-{}", &key[..22], &key[..22]),
            format!("remote: ghp_{} expired", &key[..36]),
            format!("password: {}", &key[..8]),
            format!("PGPASSWORD={}", &key[..6]),
            format!("{{\"api_key\": \"{}\"}}", &key[..16]),
            format!(
                "session eyJ{}.eyJ{}.{} is over",
                &key[..20],
                &key[..30],
                &key[..30]
            ),
            format!("unexpected header value {key}"),
        ]
    }

    const HARMLESS: &[&str] = &[
        "CUDA out of memory. Tried to allocate 1.16 GiB (GPU 0; 14.58 GiB total capacity)",
        "Error no file named model.safetensors found in directory /models/mistral-7b",
        "Post \"https://router.example/inference\": dial tcp 10.0.0.7:443: connect: connection refused",
        "probability tensor contains either `inf`, `nan` or element < 0",
        "invalid character '<' looking for beginning of value",
        "You are trying to access a gated repo. 401 Client Error",
        "ta-01KA8N1K291JXSYSVDMCB70007 fc-01KARCSEDXHDQQH1P00000012",
        "fu-PEzuAlj4D8JocS4Bwyti6W in asia-pacific",
        "610faa3f-ec23-8b4b-a334-430068f8d68b",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "unexpected token: expected identifier, found number",
        "max_tokens=2048, tokens: 156, token_count=31",
        "File \"/usr/local/lib/python3.11/site-packages/torch/nn/modules/linear.py\", line 125",
        "basic understanding of bearer authentication is required",
        "KeyError: 'attention_mask'",
        "The model's tokenizer key is missing: tokenizer_config.json",
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        "modal.exception.FunctionTimeoutError: Task's current input hit its timeout of 300s",
    ];

    #[test]
    fn every_secret_of_the_corpus_is_taken_out() {
        let missed: Vec<_> = secrets()
            .into_iter()
            .filter(|text| !redact(text).contains(REDACTED))
            .collect();
        assert!(
            missed.is_empty(),
            "{} of {} missed: {missed:#?}",
            missed.len(),
            secrets().len()
        );
    }

    #[test]
    fn nothing_of_a_secret_is_left() {
        let key = drawn(40);
        for text in secrets() {
            assert!(!redact(&text).contains(&key[..12]), "{}", redact(&text));
        }
    }

    #[test]
    fn harmless_text_of_the_corpus_stays_as_it_is() {
        let changed: Vec<_> = HARMLESS
            .iter()
            .map(|text| redact(text))
            .filter(|text| matches!(text, Cow::Owned(_)))
            .filter(|text| text.contains(REDACTED))
            .collect();
        assert!(
            changed.is_empty(),
            "{} of {} changed: {changed:#?}",
            changed.len(),
            HARMLESS.len()
        );
    }

    #[test]
    fn what_names_the_place_of_a_secret_stays() {
        let text = format!("postgres://beacon:{}@db.example/x", drawn(12));
        assert_eq!(redact(&text), "postgres://beacon:[redacted]@db.example/x");
    }

    fn redacted(chosen: &Redaction, text: &str) -> String {
        redact_with(&forms(chosen), chosen, text).into_owned()
    }

    #[test]
    fn addresses_and_own_patterns_go_where_that_is_wanted() {
        let text = "job JOB-123 of jane.doe@mail.example failed";
        assert_eq!(redact(text), text);
        let chosen = Redaction {
            emails: true,
            also: vec![Regex::new("JOB-[0-9]+").unwrap()],
            ..Redaction::default()
        };
        assert_eq!(
            redacted(&chosen, text),
            "job [redacted] of [redacted] failed"
        );
    }

    #[test]
    fn every_form_can_be_switched_off_by_its_name() {
        let everything = Redaction {
            off: FORM_NAMES.map(str::to_owned).to_vec(),
            ..Redaction::default()
        };
        for text in secrets() {
            assert_eq!(redacted(&everything, &text), text);
        }
        // Each on its own lets something of the corpus through that goes otherwise.
        for name in FORM_NAMES {
            let chosen = Redaction {
                off: vec![name.to_owned()],
                ..Redaction::default()
            };
            let block = format!("-----BEGIN PRIVATE KEY-----\n{}\n", drawn(20));
            let differs = |text: &String| redacted(&chosen, text) != redact(text);
            let mut all = secrets();
            all.push(block);
            // Too short to be taken for random.
            all.push(format!("401 for bearer {}", drawn(16)));
            assert!(all.iter().any(differs), "{name}");
        }
    }
}
