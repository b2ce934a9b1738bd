use super::*;

fn format() -> StateFormat {
    let (model, cache_type) = ("a model".to_string(), CacheType::F16);
    StateFormat { model, weights: [7; 32], cache_type, row_bytes: 8, context: 9, vocab_size: 100 }
}

const CACHE: [u8; 40] = [0x3c; 40];

fn state() -> SavedState<'static> {
    let picture = |digit: &str, size| SavedPicture { sha256: digit.repeat(64), size };
    SavedState {
        pictures: vec![picture("a", [8, 6]), picture("0", [1, MAX_SIDE])],
        rows: vec![
            SavedRow::Token(99),
            SavedRow::Image(0, 0),
            SavedRow::Image(1, 5),
            SavedRow::Newline,
            SavedRow::Token(0),
        ],
        answers: vec![("é".into(), vec![99, 0]), (String::new(), Vec::new())],
        cache: &CACHE,
    }
}

/// The same with another end, and a hash that agrees.
fn signed(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    bytes.truncate(bytes.len() - 32);
    change(&mut bytes);
    let hash = sha256(&[&bytes]);
    bytes.extend(hash);
    bytes
}

#[test]
fn a_state_is_read_as_it_was_written() {
    let bytes = state().write(&format());
    assert_eq!(SavedState::parse(&bytes, &format()).unwrap(), state());
    let empty = SavedState::default();
    assert_eq!(SavedState::parse(&empty.write(&format()), &format()).unwrap(), empty);
}

#[test]
fn a_state_cut_or_changed_anywhere_is_refused() {
    let bytes = state().write(&format());
    for cut in 0..bytes.len() {
        assert_eq!(SavedState::parse(&bytes[..cut], &format()).unwrap_err().kind, Kind::Argument, "{cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert_eq!(SavedState::parse(&changed, &format()).unwrap_err().kind, Kind::Argument, "{at}");
    }
}

#[test]
fn a_state_of_another_model_says_what_differs() {
    let refused = |format: StateFormat| SavedState::parse(&state().write(&self::format()), &format).unwrap_err();
    let other = format();
    assert!(refused(StateFormat { model: "other".into(), ..other.clone() }).message.contains("`a model`"));
    assert!(refused(StateFormat { weights: [8; 32], ..other.clone() }).message.contains("weights"));
    assert!(refused(StateFormat { cache_type: CacheType::F32, ..other.clone() }).message.contains("F32"));
    assert!(refused(StateFormat { row_bytes: 12, ..other.clone() }).message.contains("40 bytes"));
    assert_eq!(refused(StateFormat { context: 4, ..other.clone() }).kind, Kind::ContextFull);
    assert!(refused(StateFormat { vocab_size: 99, ..other }).message.contains("99"));
}

/// A hash that agrees proves nothing: the fields are checked all the same.
#[test]
fn fields_that_cannot_be_are_refused() {
    let bytes = state().write(&format());
    // Behind magic, version, type, hash, four numbers and the name: two pictures of 40 bytes, then rows of 8.
    let rows = 8 + 4 + 4 + 32 + 16 + 7 + 80;
    let set = |at: usize, value: u32| signed(bytes.clone(), |b| b[at..at + 4].copy_from_slice(&value.to_le_bytes()));
    let refused = |bytes: Vec<u8>| SavedState::parse(&bytes, &format()).unwrap_err();
    assert!(refused(set(8, 2)).message.contains("version 2"));
    for count in [48, 52, 56, 60] {
        for value in [u32::MAX, 1 << 20, 0] {
            refused(set(count, value));
        }
    }
    assert!(refused(set(rows + 4, 100)).message.contains("(0, 100)"), "a token beyond the vocabulary");
    assert!(refused(set(rows, 4)).message.contains("(4, 99)"), "a picture that there is not");
    assert!(refused(set(rows - 8, 0)).message.contains("pixels"), "a picture without pixels");
    assert!(refused(set(rows - 4, MAX_SIDE + 1)).message.contains("pixels"));
    let answer = rows + 5 * 8;
    assert!(refused(set(answer, u32::MAX)).message.contains("incomplete"));
    assert!(refused(set(answer + 4, u32::MAX)).message.contains("incomplete"));
    assert!(refused(signed(bytes.clone(), |b| b[answer + 8] = 0xff)).message.contains("UTF-8"));
    let infinite = signed(bytes.clone(), |b| *b.last_mut().unwrap() = 0x7c);
    assert!(refused(infinite).message.contains("finite"));
    assert!(refused(signed(bytes.clone(), |b| b.push(0))).message.contains("41 bytes"));
}
