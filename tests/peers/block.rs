//! What a block must be like, judged by the `bitcoin` crate; that it is in a chain, its node judged.

use bitcoin::script::Builder;
use bitcoin::{Amount, Block, Script};

/// Of a block at `height` that pays `payout` and nobody else.
pub(crate) fn check(block: &Block, height: u64, payout: &Script) {
    block.header.validate_pow(block.header.target()).unwrap();
    assert!(block.check_merkle_root(), "height {height}");
    assert!(block.check_witness_commitment(), "height {height}");
    let script = coinbase_script(block);
    // BIP 34: as the script writes the number, which is an opcode for 1 to 16.
    let number = Builder::new().push_int(height.try_into().unwrap()).into_script();
    assert!(script.starts_with(number.as_bytes()), "height {height}: {script:x?}");
    let other = paid(block) - paid_to(block, payout);
    assert_eq!(other, Amount::ZERO, "height {height}: paid to somebody else");
}

/// Whether the coinbase has this text.
pub(crate) fn has_tag(block: &Block, tag: &str) -> bool {
    coinbase_script(block).windows(tag.len()).any(|part| part == tag.as_bytes())
}

/// What the coinbase pays in all: the subsidy and the fees.
pub(crate) fn paid(block: &Block) -> Amount {
    block.txdata[0].output.iter().map(|output| output.value).sum()
}

/// The bits of its version that BIP 320 leaves to miners.
pub(crate) fn rolled_bits(block: &Block) -> u32 {
    block.header.version.to_consensus().cast_unsigned() & 0x1fff_e000
}

fn coinbase_script(block: &Block) -> &[u8] {
    block.txdata[0].input[0].script_sig.as_bytes()
}

fn paid_to(block: &Block, payout: &Script) -> Amount {
    let outputs = block.txdata[0].output.iter();
    outputs.filter(|output| *output.script_pubkey == *payout).map(|output| output.value).sum()
}
