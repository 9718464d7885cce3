//! A real template, for tests.

use serde_json::{Value, json};

/// A template of Bitcoin Core 31.99 on regtest, height 573, without transactions.
pub(super) fn empty_template() -> Value {
    json!({
        "capabilities": ["proposal"],
        "version": 536_870_912,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": "013cfaa936c4d3712715463203a7f1a18c59920d4a17ea402a798483afa59982",
        "transactions": [],
        "coinbaseaux": {},
        "coinbasevalue": 625_000_000,
        "longpollid": "013cfaa936c4d3712715463203a7f1a18c59920d4a17ea402a798483afa59982663",
        "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
        "mintime": 1_795_179_476,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80_000,
        "sizelimit": 4_000_000,
        "weightlimit": 4_000_000,
        "curtime": 1_795_179_476,
        "bits": "207fffff",
        "height": 573,
        "default_witness_commitment":
            "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9"
    })
}
