//! Seeds of every target in FOLDER/TARGET/, and a dictionary of the words in them in FOLDER/TARGET.dict.

use crate::targets::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Numbers at which counters of 31, 32 and 64 bits end.
const NUMBERS: [&str; 6] =
    ["4294967295", "4294967296", "2147483648", "18446744073709551615", "9223372036854775808", "1e308"];
/// Lengths of words, bytes, and the most words that a dictionary has.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=48;
const MOST: usize = 600;

/// Writes them.
///
/// # Panics
/// Where `folder` cannot be written to.
pub fn write(folder: &Path) {
    for target in TARGETS {
        let own = folder.join(target.name);
        fs::create_dir_all(&own).expect("a folder that can be written");
        let seeds = (target.seeds)();
        let mut words: BTreeSet<&[u8]> = BTreeSet::new();
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(own.join(format!("seed-{i:02}")), seed).expect("a file that can be written");
            let letter = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
            words.extend(seed.split(|b| !letter(b)).filter(|word| LENGTHS.contains(&word.len())));
        }
        let words = words.into_iter().map(String::from_utf8_lossy).take(MOST);
        let lines: Vec<String> = words.chain(NUMBERS.map(Into::into)).map(|word| format!("\"{word}\"\n")).collect();
        fs::write(folder.join(format!("{}.dict", target.name)), lines.concat()).expect("a file that can be written");
    }
}
