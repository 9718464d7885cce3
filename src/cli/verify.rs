//! `adit verify`

use super::{Failure, output};
use crate::chain;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The header: 160 hex digits
    header: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let header = chain::parse_header(&args.header).map_err(Failure::usage)?;
    let hash = chain::block_hash(&header);
    output::line(format_args!("hash        {hash}"))?;
    output::line(format_args!("version     {:#010x}", header.version.to_consensus()))?;
    output::line(format_args!("previous    {}", header.prev_blockhash))?;
    output::line(format_args!("merkle root {}", header.merkle_root))?;
    output::line(format_args!("time        {}", header.time))?;
    output::line(format_args!("bits        {:#010x}", header.bits.to_consensus()))?;
    output::line(format_args!("nonce       {} ({:#010x})", header.nonce, header.nonce))?;
    match chain::decode_bits(header.bits) {
        Ok(target) => {
            let met = if chain::meets(&hash, &target) { "met" } else { "not met" };
            output::line(format_args!("target      {target:064x}"))?;
            output::line(format_args!("difficulty  {}", chain::difficulty(&target)))?;
            output::line(format_args!("The target is {met}."))
        }
        Err(error) => output::line(format_args!("The bits hold no target: {error}.")),
    }
}
