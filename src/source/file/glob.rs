//! Which files a pattern names now: `*`, `?` and `[a-z]` within any part of a path.
//! Refuses nothing: a pattern that no file matches names no files. Links to folders are followed.

use std::path::{Component, Path, PathBuf};

/// Whether a text means more than the one file of that name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The files that match now, sorted.
pub(in crate::source) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        if is_pattern(&name) {
            found = found
                .iter()
                .flat_map(|folder| matching(folder, &name))
                .collect();
        } else {
            found.iter_mut().for_each(|path| path.push(&*name));
        }
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // A folder that is not there or may not be read holds no matches; it is looked at again later.
    let entries = std::fs::read_dir(listed).into_iter().flatten().flatten();
    let pattern: Vec<char> = pattern.chars().collect();
    entries
        .filter(|entry| {
            let name: Vec<char> = entry.file_name().to_string_lossy().chars().collect();
            // As in a shell, a leading dot is matched by a dot alone.
            (name.first() != Some(&'.') || pattern.first() == Some(&'.'))
                && matches(&pattern, &name)
        })
        .map(|entry| folder.join(entry.file_name()))
        .collect()
}

/// Whether a name matches; the star that was met last takes as much as is needed.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = name.get(read) {
        match one(pattern.get(at..).unwrap_or_default(), character) {
            Part::Star => {
                star = Some((at + 1, read));
                at += 1;
            }
            Part::Fits(length) => {
                at += length;
                read += 1;
            }
            Part::Differs => {
                let Some((behind, taken)) = star else {
                    return false;
                };
                star = Some((behind, taken + 1));
                (at, read) = (behind, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

enum Part {
    Star,
    Fits(usize),
    Differs,
}

/// How the next part of a pattern stands to a character.
fn one(pattern: &[char], character: char) -> Part {
    match pattern {
        ['*', ..] => Part::Star,
        ['?', ..] => Part::Fits(1),
        ['[', set @ ..] if set.iter().skip(1).any(|c| *c == ']') => {
            let negated = matches!(set.first(), Some('!' | '^'));
            let set = set.get(usize::from(negated)..).unwrap_or_default();
            let length = 1 + set.iter().skip(1).position(|c| *c == ']').unwrap_or(0);
            let inside = in_set(set.get(..length).unwrap_or_default(), character);
            if inside != negated {
                Part::Fits(2 + usize::from(negated) + length)
            } else {
                Part::Differs
            }
        }
        [plain, ..] if *plain == character => Part::Fits(1),
        _ => Part::Differs,
    }
}

fn in_set(mut set: &[char], character: char) -> bool {
    while let Some((&first, rest)) = set.split_first() {
        if let ['-', last, tail @ ..] = rest {
            if (first..=*last).contains(&character) {
                return true;
            }
            set = tail;
        } else {
            if first == character {
                return true;
            }
            set = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        matches(&chars(pattern), &chars(name))
    }

    #[test]
    fn stars_question_marks_and_sets_match_as_in_a_shell() {
        assert!(fits("*.log", "a.log") && !fits("*.log", "a.log.1"));
        assert!(fits("a*b*c", "aXbYbc") && !fits("a*b*c", "aXbYb"));
        assert!(fits("app-?.log", "app-é.log") && !fits("app-?.log", "app-.log"));
        assert!(fits("x[0-9]", "x7") && !fits("x[0-9]", "xa"));
        assert!(fits("x[!0-9]y", "xay") && !fits("x[^0-9]y", "x1y"));
        assert!(fits("[]]", "]") && fits("[", "["));
        assert!(fits("*", "") && fits("**", "abc"));
    }

    #[test]
    fn a_pattern_names_files_in_matching_folders() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["one/a.log", "two/a.log", "two/b.txt", "two/.c.log"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = expand(&dir.path().join("*/*.log"));
        let found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, ["one/a.log", "two/a.log"]);
    }
}
