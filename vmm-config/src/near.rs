//! Near misses: what a person may have meant.

/// The candidate closest to `word`, if one is close enough to be worth asking.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = plain(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let same_tail = candidate
            .rsplit_once('.')
            .is_some_and(|(_, tail)| tail == plain);
        let distance = if same_tail {
            1
        } else {
            strsim::damerau_levenshtein(&plain, &self::plain(candidate))
        };
        let longest = plain.chars().count().max(candidate.chars().count());
        if distance <= longest / 3 && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Case and the separators `_`, `-` and `.` do not count.
fn plain(word: &str) -> String {
    word.trim_start_matches('#')
        .to_lowercase()
        .replace(['_', '-'], ".")
}

/// "did you mean …?", or the whole choice if nothing is near.
pub(crate) fn suggest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> String {
    match nearest(word, candidates.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<_> = candidates.into_iter().collect();
            if all.is_empty() {
                "there is none to choose from".to_owned()
            } else {
                format!("write one of {}", list(&all))
            }
        }
    }
}

/// `a`, `b` or `c`.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXITS: [&str; 4] = ["cr3.write", "cr3.read", "exception.pf", "hlt"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("cr3.wrte", EXITS), Some("cr3.write"));
        assert_eq!(nearest("CR3_WRITE", EXITS), Some("cr3.write"));
        assert_eq!(nearest("htl", EXITS), Some("hlt"));
    }

    #[test]
    fn the_last_part_of_a_name_is_enough() {
        assert_eq!(nearest("#PF", EXITS), Some("exception.pf"));
    }

    #[test]
    fn what_resembles_nothing_is_not_guessed() {
        assert_eq!(nearest("banana", EXITS), None);
        assert_eq!(suggest("banana", ["a", "b"]), "write one of `a` or `b`");
    }
}
