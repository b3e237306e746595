//! "Did you mean" for every name that a person can type.

/// The candidate most like `typed`, if any is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|c| {
            (
                strsim::damerau_levenshtein(&typed.to_lowercase(), &c.to_lowercase()),
                *c,
            )
        })
        .filter(|(d, c)| *d <= 1 + c.len().max(typed.len()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// `, did you mean ...?` or nothing.
pub fn did_you_mean(typed: &str, candidates: &[&str]) -> String {
    nearest(typed, candidates).map_or_else(String::new, |c| format!(", did you mean `{c}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(
            nearest("leraning_rate", &["epochs", "learning_rate"]),
            Some("learning_rate")
        );
        assert_eq!(nearest("xyz", &["epochs", "learning_rate"]), None);
        assert_eq!(did_you_mean("NDGC", &["ndcg"]), ", did you mean `ndcg`?");
    }
}
