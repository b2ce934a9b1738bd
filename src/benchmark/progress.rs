//! Progress with the time left, on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two lines where standard error is no terminal.
const LINE: Duration = Duration::from_secs(30);
/// Time between two changes of the line on a terminal.
const CHANGE: Duration = Duration::from_millis(200);

/// Counts answers.
pub struct Progress {
    name: String,
    done: usize,
    before: usize,
    all: usize,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Starts with `before` of `all` questions answered.
    pub fn new(name: &str, before: usize, all: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { name: name.to_owned(), done: before, before, all, started: Instant::now(), shown: None, terminal }
    }

    /// Counts an answer, and shows the progress from time to time.
    pub fn tick(&mut self) {
        self.done += 1;
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= if self.terminal { CHANGE } else { LINE });
        if due || self.done == self.all {
            self.shown = Some(Instant::now());
            let text = line(&self.name, self.done, self.before, self.all, self.started.elapsed());
            let end = if self.terminal && self.done < self.all { "" } else { "\n" };
            let start = if self.terminal { "\r\x1b[K" } else { "" };
            eprint!("{start}{text}{end}");
            let _ = std::io::stderr().flush();
        }
    }
}

/// Returns the line: answers, share, time for an answer, time left by the answers of this run.
pub fn line(name: &str, done: usize, before: usize, all: usize, elapsed: Duration) -> String {
    let each = elapsed.as_secs_f64() / (done - before).max(1) as f64;
    let percent = 100.0 * done as f64 / all.max(1) as f64;
    format!("{name}: {done} of {all} ({percent:.1} %), {each:.2} s each, {} left", time(each * (all - done) as f64))
}

/// Writes a time in its two largest units.
pub fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_this_run_s_answers() {
        // 20 answers in 50 s since the resume, 2.5 s each; 1,400 are left.
        let text = line("pope", 600, 580, 2000, Duration::from_secs(50));
        assert_eq!(text, "pope: 600 of 2000 (30.0 %), 2.50 s each, 58 min 20 s left");
        assert_eq!(time(7325.0), "2 h 02 min");
        assert_eq!(time(0.4), "0 s");
    }
}
