//! Stop strings: texts that end an answer, which does not include them.
//!
//! Text is searched as if it came character by character: the stop string that ends first ends the answer, and of those
//! that end at the same place the longest. What may be the beginning of a stop string is withheld until it is certain.

/// The text of an answer while it grows.
#[derive(Debug)]
pub(super) struct AnswerText<'a> {
    stops: &'a [String],
    text: String,
    /// Bytes of `text` that were returned by [`push`](Self::push), or with which the answer began.
    sent: usize,
    stopped: bool,
}

impl<'a> AnswerText<'a> {
    /// Begins with the text of an answer that is continued. A stop string in it does not end the answer; one that begins
    /// in it does, where it ends in later text.
    pub fn new(stops: &'a [String], text: String) -> Self {
        Self { stops, sent: text.len(), text, stopped: false }
    }

    /// Appends text and returns what is certain to be in the answer and was not returned before. Does nothing after a
    /// stop string.
    pub fn push(&mut self, new: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let before = self.text.len();
        self.text.push_str(new);
        let found = self.stops.iter().filter_map(|stop| find_ending_after(&self.text, stop, before));
        let certain = match found.min_by_key(|(start, end)| (*end, *start)) {
            Some((start, _)) => {
                self.stopped = true;
                self.text.truncate(start);
                start
            }
            None => self.text.len() - self.withheld(),
        };
        self.send_up_to(certain)
    }

    /// Returns whether a stop string has ended the answer.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Returns the text that was not returned so far, and the whole text.
    pub fn finish(mut self) -> (String, String) {
        let rest = self.send_up_to(self.text.len());
        (rest, self.text)
    }

    fn send_up_to(&mut self, end: usize) -> String {
        let new = self.text.get(self.sent..end).unwrap_or_default().to_owned();
        self.sent = self.sent.max(end);
        new
    }

    /// Returns the bytes of the longest end of the text that is the beginning of a stop string.
    fn withheld(&self) -> usize {
        let beginning = |stop: &'a String| {
            let lengths = (1..stop.len().min(self.text.len() + 1)).rev();
            lengths.filter(|n| stop.is_char_boundary(*n)).find(|n| self.text.ends_with(&stop[..*n]))
        };
        self.stops.iter().filter_map(beginning).max().unwrap_or(0)
    }
}

/// Finds the first place of `stop` in `text` that ends after byte `after`; returns its start and end.
fn find_ending_after(text: &str, stop: &str, after: usize) -> Option<(usize, usize)> {
    let mut from = (after + 1).saturating_sub(stop.len());
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..)?.find(stop).map(|start| (from + start, from + start + stop.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stops(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    /// Events, and the text and whether it was stopped.
    fn run(stops: &[String], prefix: &str, pieces: &[String]) -> (String, String, bool) {
        let mut text = AnswerText::new(stops, prefix.to_string());
        let mut events: String = pieces.iter().map(|piece| text.push(piece)).collect();
        let stopped = text.stopped();
        let (rest, whole) = text.finish();
        events.push_str(&rest);
        (events, whole, stopped)
    }

    /// The answer's text by definition: the shortest beginning of the whole text, longer than `prefix`, that ends with a
    /// stop string, without the longest such one.
    fn reference(stops: &[String], prefix: usize, whole: &str) -> Option<String> {
        let ends = (prefix + 1..=whole.len()).filter(|end| whole.is_char_boundary(*end));
        ends.map(|end| &whole[..end]).find_map(|text| {
            let longest = stops.iter().filter(|stop| text.ends_with(stop.as_str())).map(|stop| stop.len()).max()?;
            Some(text[..text.len() - longest].to_string())
        })
    }

    #[test]
    fn a_stop_string_is_found_inside_and_across_pieces() {
        let end = stops(&["END"]);
        let pieces = |texts: &[&str]| stops(texts);
        assert_eq!(run(&end, "", &pieces(&["one ENDtwo"])), ("one ".into(), "one ".into(), true));
        assert_eq!(run(&end, "", &pieces(&["one E", "N", "D", "x"])), ("one ".into(), "one ".into(), true));
        assert_eq!(run(&end, "", &pieces(&["one EN", "Ex"])), ("one ENEx".into(), "one ENEx".into(), false));
        assert_eq!(run(&end, "", &pieces(&["one E", "N"])), ("one EN".into(), "one EN".into(), false), "released");
        // The first that ends, not the first that begins; nothing of the other is lost.
        assert_eq!(run(&stops(&["ab", "xxaby"]), "", &pieces(&["xxaby"])), ("xx".into(), "xx".into(), true));
        // An answer that is continued: what it began with was shown.
        assert_eq!(run(&end, "END. E", &pieces(&["ND"])), (String::new(), "END. ".into(), true));
        assert_eq!(run(&end, "END. E", &pieces(&["x"])), ("x".into(), "END. Ex".into(), false));
    }

    #[test]
    fn the_beginning_of_a_stop_string_is_withheld() {
        let stops = stops(&["\n\nUser:", "é!"]);
        let mut text = AnswerText::new(&stops, String::new());
        assert_eq!(text.push("Yes\n"), "Yes");
        assert_eq!(text.push("\n"), "");
        assert_eq!(text.push("\nUs"), "\n");
        assert_eq!(text.push("é"), "\n\nUs");
        assert_eq!(text.push("!"), "");
        assert!(text.stopped());
        assert_eq!(text.push("more"), "");
        assert_eq!(text.finish(), (String::new(), "Yes\n\n\nUs".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Few letters, so that stop strings overlap themselves, each other and the pieces' ends.
        #[test]
        fn events_are_the_text_up_to_the_stop_string(
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            prefix in "[abé]{0,5}",
            pieces in prop::collection::vec("[abcé]{0,4}", 0..12),
        ) {
            let whole = prefix.clone() + &pieces.concat();
            let (events, text, stopped) = run(&stops, &prefix, &pieces);
            let wanted = reference(&stops, prefix.len(), &whole);
            prop_assert_eq!(stopped, wanted.is_some());
            prop_assert_eq!(&text, wanted.as_ref().unwrap_or(&whole));
            prop_assert_eq!(events, text.get(prefix.len()..).unwrap_or_default());
        }

        /// Nothing is returned from which on all text so far is the beginning of a stop string; everything else is.
        #[test]
        fn exactly_what_may_be_a_stop_string_is_withheld(
            stops in prop::collection::vec("[abé]{1,4}", 1..4),
            pieces in prop::collection::vec("[abcé]{0,4}", 0..12),
        ) {
            let mut text = AnswerText::new(&stops, String::new());
            let (mut sent, mut whole) = (String::new(), String::new());
            for piece in &pieces {
                sent += &text.push(piece);
                whole += piece;
                if text.stopped() {
                    break;
                }
                let begins = |start: &usize| stops.iter().any(|stop| stop.starts_with(&whole[*start..]));
                let starts = (0..whole.len()).filter(|start| whole.is_char_boundary(*start));
                prop_assert_eq!(sent.len(), starts.filter(begins).min().unwrap_or(whole.len()), "{:?}", whole);
            }
        }
    }
}
