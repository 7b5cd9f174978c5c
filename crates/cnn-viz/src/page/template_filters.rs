//! What templates do to a value as they show it.

#![allow(unreachable_pub)] // What the macro makes is public.

use askama::filters::{Html, Safe, escape};

/// A name in which a line may end after `_`, `.`, `/` and `-`, so that a narrow page breaks it
/// there and not inside a word or a number.
#[askama::filter_fn]
pub(super) fn breakable(
    name: impl std::fmt::Display,
    _: &dyn askama::Values,
) -> askama::Result<Safe<String>> {
    // The entities that escaping makes hold none of these characters.
    let escaped = escape(name, Html)?.to_string();
    let mut broken = String::with_capacity(escaped.len() + 16);
    let mut characters = escaped.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        broken.push(character);
        let is_point = |next: char| {
            before.is_some_and(char::is_numeric) && character == '.' && next.is_numeric()
        };
        // Between two of them, as in `../`, a line does not end.
        let ends_word = |character: char| "_./-".contains(character);
        if ends_word(character)
            && characters
                .peek()
                .is_some_and(|&next| !ends_word(next) && !is_point(next))
        {
            broken.push_str("<wbr>");
        }
        before = Some(character);
    }
    Ok(Safe(broken))
}

/// A path beside the page as the target of a link: it stays a path whatever characters it has, and
/// never becomes a scheme or another host.
#[askama::filter_fn]
pub(super) fn href(
    path: impl std::fmt::Display,
    _: &dyn askama::Values,
) -> askama::Result<Safe<String>> {
    let mut link = String::from("./");
    for byte in path.to_string().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                link.push(char::from(byte))
            }
            _ => link.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(Safe(link))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use askama::Template;

    use super::super::template_filters as filters;

    #[derive(Template)]
    #[template(source = "{{ text|breakable }} {{ text|href }}", ext = "html")]
    struct Shown<'a> {
        text: &'a str,
    }

    #[test]
    fn names_break_between_words_and_links_stay_paths() {
        let cases = [
            ("conv_stem", "conv_<wbr>stem ./conv_stem"),
            (
                "blocks.0.0/bn-1",
                "blocks.<wbr>0.0/<wbr>bn-<wbr>1 ./blocks.0.0/bn-1",
            ),
            ("98.25 %", "98.25 % ./98.25%20%25"),
            ("elephant", "elephant ./elephant"),
            ("../a_", "../<wbr>a_ ./../a_"),
            ("<b>.&", "&#60;b&#62;.<wbr>&#38; ./%3Cb%3E.%26"),
            (
                "javascript:alert(1)",
                "javascript:alert(1) ./javascript%3Aalert%281%29",
            ),
            ("//host/ä#1", "//<wbr>host/<wbr>ä#1 .///host/%C3%A4%231"),
        ];
        for (text, expected) in cases {
            assert_eq!(Shown { text }.render().unwrap(), expected);
        }
    }
}
