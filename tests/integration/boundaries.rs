//! Who may import whom: the table of `docs/architecture.md`, read from there and checked against the
//! sources, so that the page and the code can't drift apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Table = BTreeMap<String, BTreeSet<String>>;

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let allowed = documented("## Who may import whom");
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        let Some(may) = allowed.get(&module) else {
            wrong.push(format!(
                "{}: module {module:?} is not in the table",
                file.display()
            ));
            continue;
        };
        for import in imports(&text) {
            if import != module && !may.contains(&import) && !may.contains("everything") {
                wrong.push(format!(
                    "{}: {module} must not import {import}",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_outside_library_stays_in_its_module() {
    let homes = documented("## Which library lives where");
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        for (library, modules) in &homes {
            let used = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let mut used = used.filter(|line| line.contains(&format!("{library}::")));
            if used.next().is_some() && !modules.contains(&module) {
                wrong.push(format!(
                    "{}: {library} belongs in {modules:?}",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The two-column table below a heading of the architecture page.
fn documented(heading: &str) -> Table {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (_, section) = text.split_once(heading).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
    let words = |cell: &str| -> Vec<String> {
        cell.split(',')
            .map(|word| word.trim().trim_matches('`').to_owned())
            .collect()
    };
    rows.take_while(|line| line.starts_with('|'))
        .flat_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').collect();
            let right: BTreeSet<_> = words(cells[1]).into_iter().collect();
            words(cells[0])
                .into_iter()
                .map(move |left| (left, right.clone()))
        })
        .collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 10, "the sources were not found");
    found
}

/// `store/postgres/read.rs` → `store`, `query.rs` → `query`.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules of ours that a file names, in code or in a `use`.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut found = BTreeSet::new();
    for line in code {
        for (at, marker) in line.match_indices("crate::") {
            let rest = line.split_at(at + marker.len()).1;
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split([',', '}']).map(str::trim).collect(),
                None => vec![rest],
            };
            for name in names {
                let end = name
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(name.len());
                if end > 0 {
                    found.insert(name.split_at(end).0.to_owned());
                }
            }
        }
    }
    found
}
