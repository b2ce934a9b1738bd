use super::*;

fn entries(text: &str) -> std::result::Result<Vec<(u64, String)>, String> {
    Entries::new(text.as_bytes()).map(|e| e.map(|(at, b)| (at, String::from_utf8(b).unwrap()))).collect()
}

#[test]
fn elements_of_an_array_are_found_in_a_stream() {
    let text = r#" [ {"a": "}]\"{"}, {"b": [{"c": 1}]} ] "#;
    let found = entries(text).unwrap();
    assert_eq!(found.len(), 2);
    for (at, element) in &found {
        assert_eq!(&text[*at as usize..][..element.len()], element);
    }
    for broken in ["[{\"a\": 1}", "[{\"a\": 1", "{\"a\": 1}", "[1]"] {
        assert!(entries(broken).is_err(), "{broken}");
    }
}

fn entry(json: &str) -> LlavaEntry {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_mark_moves_to_the_beginning_of_its_turn() {
    let human = |value: &str| {
        format!(
            r#"{{"id": 7, "image": "a.png", "conversations": [{{"from": "human", "value": "{value}"}},
            {{"from": "gpt", "value": "yes"}}]}}"#
        )
    };
    for value in ["<image>\\nIs it?", "Is it?\\n<image>", "Is it?<image>"] {
        let found = messages(&entry(&human(value))).unwrap();
        assert_eq!(found[0].parts, [Part::Image(String::new()), Part::Text("Is it?".to_owned())], "{value}");
    }
    // A picture without a place, a place without a picture, an author that is none.
    assert!(messages(&entry(&human("Is it?"))).is_err());
    assert!(messages(&entry(&human("<image>").replace("\"image\": \"a.png\", ", ""))).is_err());
    assert!(messages(&entry(&human("<image>").replace("gpt", "cat"))).is_err());
}

#[test]
fn batches_hold_entries_of_one_kind_and_of_similar_length_each_once() {
    let places = (0..130).map(|i| Place { offset: 0, bytes: 0, words: (i * 37 % 101) as u32, picture: i % 3 > 0 });
    let data = LlavaData { places: places.collect(), path: "".into(), images: "".into(), skipped: Arc::default() };
    let order = data.order(5, 8);
    let mut all: Vec<usize> = order.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..130).collect::<Vec<_>>());
    let mixed = order.iter().filter(|batch| {
        let pictures = batch.iter().filter(|&&i| data.places[i].picture).count();
        pictures > 0 && pictures < batch.len()
    });
    assert!(mixed.count() <= 2);
    let spread = |batch: &Vec<usize>| {
        let words = batch.iter().map(|&i| data.places[i].words);
        words.clone().max().unwrap_or(0) - words.min().unwrap_or(0)
    };
    let wide = order.iter().filter(|batch| spread(batch) > 30).count();
    assert!(wide <= 2, "{wide} batches hold lengths far apart");
    assert_eq!(order, data.order(5, 8));
    assert_ne!(order, data.order(6, 8));
}
