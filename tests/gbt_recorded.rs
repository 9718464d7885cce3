//! Templates that real nodes gave, with the blocks that they accepted for them.

#[path = "common/recorded.rs"]
mod recorded_files;

use std::fs;

use adit::chain::payout::Chain;
use adit::chain::{block_hash, meets};
use adit::source::gbt::Template;
use bitcoin::Block;
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hex::DisplayHex;
use serde_json::Value;

#[test]
fn every_recorded_template_makes_its_recorded_block() {
    let folder = recorded_files::folder().join("gbt");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("skipped: no recorded templates in {}", folder.display());
        return;
    };
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let pairs: Vec<Value> =
        texts.flat_map(|text| serde_json::from_str::<Vec<Value>>(&text).unwrap()).collect();
    assert!(!pairs.is_empty(), "nothing in {}", folder.display());
    for pair in &pairs {
        // Only time, nonce and the coinbase without its witness are taken from the recorded block.
        let template = Template::parse(pair["template"].to_string().as_bytes()).unwrap();
        let hex = pair["block_hex"].as_str().unwrap();
        let recorded: Block = deserialize_hex(hex).unwrap();
        let mut coinbase = recorded.txdata[0].clone();
        coinbase.input[0].witness.clear();
        let Header { time, nonce, .. } = recorded.header;
        let header = Header { time, nonce, ..template.header(coinbase.compute_txid()) };

        assert_eq!(header, recorded.header);
        assert!(meets(&block_hash(&header), &template.target));
        assert!(template.times.contains(&time));
        assert_eq!(template.transactions() + 1, recorded.txdata.len());
        assert_eq!(template.block(&header, &coinbase).to_lower_hex_string(), hex);
        let is_signet = pair["template"]["signet_challenge"].is_string();
        let chain = if is_signet { Chain::Signet } else { Chain::Regtest };
        assert_eq!(template.due(chain), Some(template.value));
    }
    println!("{} recorded blocks rebuilt", pairs.len());
}
