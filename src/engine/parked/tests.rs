use super::*;

fn path(tokens: impl IntoIterator<Item = u32>) -> Vec<Row> {
    tokens.into_iter().map(Row::Token).collect()
}

fn entry(rows: &[Row], first: usize, used: u64) -> Parked {
    let stored = StoredRows::without_memory((rows.len() - first) as u32);
    Parked { rows: rows.to_vec(), first, stored, used }
}

/// Rows 0 to 39 are common, 40 to 99 common to two of three paths.
fn three() -> [Vec<Row>; 3] {
    let with = |common: std::ops::Range<u32>, own: u32| path(common.chain(own..own + 100));
    [with(0..100, 1000), with(0..100, 2000), with(0..40, 3000)]
}

#[test]
fn a_path_is_found_in_parts_of_several_entries() {
    let [a, b, c] = three();
    let mut parked = ParkedRows::default();
    // `a` was overwritten from row 100 on by `b`, and `b` from row 40 on by `c`.
    parked.list.push(entry(&a, 100, 1));
    parked.list.push(entry(&b, 40, 2));
    assert_eq!(parked.chain(&a, 40), [(1, 40..100), (0, 100..200)]);
    assert_eq!(parked.chain(&b, 40), [(1, 40..200)]);
    assert_eq!(parked.chain(&b, 150), [(1, 150..200)], "the cache has more of it");
    assert_eq!((parked.reach(&a, 40), parked.reach(&c, 40), parked.reach(&a, 39)), (200, 40, 39));
    // A prompt that leaves the path in the middle of an entry.
    assert_eq!(parked.reach(&[&a[..150], &c[100..]].concat(), 40), 150);
    assert_eq!(parked.reach(&a[..40 + MIN_ROWS - 1], 40), 40, "too few rows to be worth it");
    // Without the middle its end is out of reach.
    parked.list.remove(1);
    assert_eq!(parked.reach(&a, 40), 40);
}

#[test]
fn what_the_cache_holds_goes_first_then_the_oldest() {
    let [a, b, c] = three();
    let mut device = Device::ledger();
    let mut parked = ParkedRows { list: vec![entry(&a, 100, 3), entry(&b, 40, 2), entry(&c, 40, 1)], clock: 3 };
    let left = |parked: &ParkedRows| parked.list.iter().map(|entry| entry.used).collect::<Vec<_>>();
    parked.shrink(&mut device, &[], 360);
    assert_eq!(left(&parked), [3, 2, 1], "they fit");
    parked.shrink(&mut device, &a, 359);
    assert_eq!(left(&parked), [1, 2], "the cache holds the newest");
    parked.shrink(&mut device, &[], 250);
    assert_eq!(left(&parked), [2], "then the oldest");
    // Of one path and one use, the end goes first.
    parked.list = vec![entry(&a[..150], 100, 1), entry(&a, 150, 1)];
    parked.shrink(&mut device, &[], 99);
    assert_eq!(parked.list[0].first, 100);
    parked.touch(&[(0, 0..0)]);
    assert_eq!(left(&parked), [4]);
    parked.clear(&mut device);
    assert_eq!(parked.reach(&a, 40), 40);
}
