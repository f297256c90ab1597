//! Text folded into the columns of a terminal: at spaces, with what follows below what came before.
//!
//! Invariant: words stay whole, since ids and commands get copied; colours take no columns.

/// Breaks every line that is wider than `width` columns.
pub fn folded(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        if columns(line) <= width {
            out.push_str(line);
        } else {
            fold(line, width, &mut out);
        }
        out.push('\n');
    }
    out
}

fn fold(line: &str, width: usize, out: &mut String) {
    let indent = hanging(line);
    let text = line.trim_start_matches(' ');
    let spaces = line.len() - text.len();
    out.extend(std::iter::repeat_n(' ', spaces));
    let mut used = spaces;
    for (at, word) in text.split(' ').enumerate() {
        let wide = columns(word);
        if at > 0 && used + 1 + wide > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if at > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
    }
}

/// Columns by which what follows is indented: to where the text of the line begins.
fn hanging(line: &str) -> usize {
    let spaces = line.chars().take_while(|c| *c == ' ').count();
    let rest = line.trim_start_matches(' ');
    let mark = if rest.starts_with("- ") { 2 } else { 0 };
    spaces + mark
}

/// Characters that show: all but colours.
fn columns(text: &str) -> usize {
    let mut count = 0;
    let mut in_colour = false;
    for letter in text.chars() {
        match (in_colour, letter) {
            (false, '\u{1b}') => in_colour = true,
            (false, _) => count += 1,
            (true, 'm') => in_colour = false,
            (true, _) => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_continue_below_their_text() {
        let text = "short\n  - a line that is too wide for it\n    \"and a quotation of it\"\n";
        assert_eq!(
            folded(text, 20),
            "short\n  - a line that is\n    too wide for it\n    \"and a quotation\n    of it\"\n"
        );
    }

    #[test]
    fn words_wider_than_the_terminal_stay_whole() {
        let id = "00000000-0000-4000-8000-000000000030";
        assert_eq!(
            folded(&format!("trace {id} spans"), 20),
            format!("trace\n{id}\nspans\n")
        );
    }

    #[test]
    fn colours_take_no_columns() {
        let red = "\u{1b}[31mtwelve chars\u{1b}[0m";
        assert_eq!(folded(red, 12), format!("{red}\n"));
    }
}
