//! The stream may be cut anywhere, and may be anything.

use proptest::prelude::*;

use super::*;

/// Lines of a pool, most of them valid, in any order.
fn any_line() -> impl Strategy<Value = String> {
    let message = prop_oneof![
        Just(
            json!({ "id": 1, "result": { "version-rolling": true, "version-rolling.mask": "1fffe000" } })
        ),
        Just(
            json!({ "id": 2, "result": [[["mining.notify", "ae68"]], "08000002", 4], "error": null })
        ),
        Just(json!({ "id": 3, "result": true, "error": null })),
        (0_u8..4, any::<bool>()).prop_map(|(block, clean)| {
            json!({ "method": "mining.notify", "params": job(&block.to_string(), block, clean) })
        }),
        (0_u8..4).prop_map(|block| {
            let mut params = job("é\u{1d7d8}", block, true);
            params[7] = "1".into();
            json!({ "id": null, "method": "mining.notify", "params": params })
        }),
        (-40..220).prop_map(|power| {
            json!({ "method": "mining.set_difficulty", "params": [2_f64.powi(power)] })
        }),
        Just(json!({ "method": "mining.set_version_mask", "params": ["0000e000"] })),
        Just(json!({ "method": "mining.set_extranonce", "params": ["09000003", 4] })),
        Just(json!({ "method": "client.show_message", "params": ["wörds"] })),
        Just(json!({ "id": 5, "method": "client.get_version", "params": [] })),
        (4_u64..9).prop_map(|id| json!({ "id": id, "result": true, "error": null })),
    ];
    prop_oneof![
        30 => message.prop_map(|message| message.to_string()),
        1 => Just(String::new()),
        1 => Just("\r".to_owned()),
        1 => "\\PC{0,20}",
        1 => Just(r#"{"method":"client.reconnect","params":[]}"#.to_owned()),
    ]
}

/// A handshake in its usual order, as often as not, and what follows.
fn any_stream() -> impl Strategy<Value = Vec<String>> {
    (any::<bool>(), prop::collection::vec(any_line(), 0..30)).prop_map(|(usual, mut lines)| {
        if usual {
            let subscribed = r#"{"id":2,"result":[[],"08000002",4],"error":null}"#;
            lines.insert(0, r#"{"id":3,"result":true}"#.to_owned());
            lines.insert(0, subscribed.to_owned());
        }
        lines
    })
}

/// What a client says and writes when a stream comes in these pieces.
fn outcome(start: Instant, pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>, Counts) {
    let mut client = Client::new(settings());
    client.connected(start);
    let mut written = client.transmit().unwrap();
    for piece in pieces {
        client.receive(piece, start);
        written.extend(client.transmit().unwrap_or_default());
    }
    let events = std::iter::from_fn(|| client.event()).collect();
    (events, written, client.counts())
}

fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// The job that is at work in the end, but for its name within the run.
fn last_work(events: &[Event]) -> Option<(String, Header, Target, u64)> {
    let work = works(events).pop()?;
    let rolls = &work.job.rolls;
    Some((work.name.clone(), rolls.header(0), work.job.target, rolls.all().len()))
}

proptest! {
    #[test]
    fn cuts_inside_lines_change_nothing(
        lines in any_stream(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let start = Instant::now();
        let lines: Vec<Vec<u8>> =
            lines.iter().map(|line| format!("{line}\n").into_bytes()).collect();
        let whole: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let pieces: Vec<&[u8]> = lines.iter().flat_map(|line| cut(line, &places)).collect();
        let [whole, pieces] = [whole, pieces].map(|pieces| format!("{:?}", outcome(start, &pieces)));
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn joined_lines_end_in_the_same_work(
        lines in any_stream(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let start = Instant::now();
        let text = lines.join("\n") + "\n";
        let one_by_one: Vec<&[u8]> = text.as_bytes().split_inclusive(|b| *b == b'\n').collect();
        let (events, written, counts) = outcome(start, &one_by_one);
        let joined = outcome(start, &cut(text.as_bytes(), &places));
        let others = |events: &[Event]| -> Vec<String> {
            let is_other = |event: &&Event| !matches!(event, Event::Work(_) | Event::NoWork(_));
            events.iter().filter(is_other).map(|event| format!("{event:?}")).collect()
        };
        prop_assert_eq!(others(&joined.0), others(&events));
        prop_assert_eq!(joined.2, counts);
        // After an order to reconnect the work that came with it is not handed out any more.
        if !events.iter().any(|event| matches!(event, Event::Reconnect { .. } | Event::Down(_))) {
            prop_assert_eq!(last_work(&joined.0), last_work(&events));
            prop_assert_eq!(String::from_utf8(joined.1), String::from_utf8(written));
        }
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(
        lines in any_stream(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = (lines.join("\n") + "\n").into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.extend(noise);
        let (events, written, _) = outcome(Instant::now(), &cut(&bytes, &places));
        for line in written.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            prop_assert!(serde_json::from_slice::<Value>(line).is_ok());
        }
        let ends = events.iter().filter(|e| matches!(e, Event::Down(_) | Event::Reconnect { .. }));
        prop_assert!(ends.count() <= 1);
    }
}
