//! From a template to jobs, and from a job's share back to a block.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::{BlockHash, Transaction};

use super::{Settings, Template};
use crate::chain::payout::Coinbase;
use crate::chain::{self, CoinbaseParts, VERSION_ROLLING_MASK};
use crate::limits::TEMPLATES_REMEMBERED;
use crate::source::Work;
use crate::work::{self, Job, JobId, Nonces, Rolls, Share, Verdict};

/// Bytes of the extranonce that devices roll. Before them come the seed and the job's number, 4 bytes each,
/// so that no two jobs, of any miner, have a header in common.
const ROLLED: usize = 4;

/// The last jobs, the newest last.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    issued: VecDeque<Issued>,
    serial: u64,
}

#[derive(Debug)]
struct Issued {
    job: Arc<Job>,
    coinbase: Arc<work::Coinbase>,
    template: Arc<Template>,
}

/// A block that a share solved.
#[derive(Debug)]
pub(super) struct Solved {
    pub(super) height: u32,
    pub(super) previous: BlockHash,
    pub(super) bytes: Vec<u8>,
}

impl Jobs {
    /// A job of `template`, whose blocks have this time. `clean` says whether earlier ones are over.
    ///
    /// # Errors
    ///
    /// In words: the coinbase breaks the user's own rule, or fits no job.
    pub(super) fn issue(
        &mut self,
        settings: &Settings,
        template: &Arc<Template>,
        time: u32,
        clean: bool,
    ) -> Result<Work, String> {
        let serial = self.serial + 1;
        let mut extranonce = [0; 8 + ROLLED];
        extranonce[..4].copy_from_slice(&settings.seed.to_le_bytes());
        extranonce[4..8].copy_from_slice(&serial.to_le_bytes()[..4]);
        let (transaction, at) =
            template.coinbase(&settings.payout.script, &settings.tag, &extranonce);
        let shown = Coinbase::of(&transaction);
        if let Some(rule) = &settings.require {
            rule.check(&shown).map_err(|broken| broken.to_string())?;
        }
        let parts = CoinbaseParts::split(&transaction, at + 8, ROLLED)
            .map_err(|error| error.to_string())?;
        // Core does not list the version as mutable, but BIP 320 leaves these bits to miners. One that the
        // node sets signals something, and stays.
        let set = template.version.to_consensus().cast_unsigned() | template.version_required;
        let mask = settings.version_mask & VERSION_ROLLING_MASK & !set;
        let coinbase = Arc::new(work::Coinbase {
            parts,
            branch: template.branch.clone(),
            extranonces: u32::MAX >> mask.count_ones(),
        });
        let header = Header { time, ..template.header(transaction.compute_txid()) };
        let rolls = Rolls::new(header, mask, 1, Some(Arc::clone(&coinbase)))
            .map_err(|error| error.to_string())?
            .starting_from(1);
        let job = Arc::new(Job {
            id: JobId { source: settings.source, serial },
            rolls,
            target: template.target,
            nonces: Nonces::ALL,
        });

        self.serial = serial;
        if self.issued.len() == TEMPLATES_REMEMBERED {
            self.issued.pop_front();
        }
        let (template, height) = (Arc::clone(template), template.height);
        self.issued.push_back(Issued { job: Arc::clone(&job), coinbase, template });
        Ok(Work {
            block_target: job.target,
            job,
            name: format!("block {height}"),
            height: Some(height),
            clean,
            coinbase: Some(Arc::new(shown)),
        })
    }

    /// The template of a job that is not long over.
    pub(super) fn template(&self, job: JobId) -> Option<&Arc<Template>> {
        self.issued.iter().find(|issued| issued.job.id == job).map(|issued| &issued.template)
    }

    /// The template of the last job.
    pub(super) fn last(&self) -> Option<&Template> {
        self.issued.back().map(|issued| &*issued.template)
    }

    /// Makes the block of a share, which is not trusted to fit its job.
    ///
    /// # Errors
    ///
    /// With the verdict and why.
    pub(super) fn solve(&self, share: &Share) -> Result<Solved, (Verdict, &'static str)> {
        let Some(Issued { job, coinbase, template }) =
            self.issued.iter().find(|issued| issued.job.id == share.job)
        else {
            return Err((Verdict::Stale, "its job is long over"));
        };
        let is_of_job = u64::from(share.number) < job.rolls.all().len()
            && chain::with_nonce(&job.rolls.header(share.number), share.header.nonce)
                == share.header;
        if !is_of_job {
            return Err((Verdict::Invalid, "its header is none of the job's"));
        }
        let hash = chain::block_hash(&share.header);
        if hash != share.hash || !chain::meets(&hash, &job.target) {
            return Err((Verdict::Invalid, "its hash does not meet the target"));
        }
        let extranonce = coinbase.parts.numbered(job.rolls.extranonce(share.number).into());
        let bytes = coinbase.parts.assemble(&extranonce);
        let transaction: Option<Transaction> =
            bytes.ok().and_then(|bytes| deserialize(&bytes).ok());
        let Some(transaction) = transaction else {
            return Err((Verdict::Invalid, "its coinbase is no transaction"));
        };
        Ok(Solved {
            height: template.height,
            previous: template.previous,
            bytes: template.block(&share.header, &transaction),
        })
    }
}

/// Any block of a template, for the node to check.
pub(super) fn proposed(settings: &Settings, template: &Template) -> Vec<u8> {
    let (transaction, _) =
        template.coinbase(&settings.payout.script, &settings.tag, &[0; 8 + ROLLED]);
    template.block(&template.header(transaction.compute_txid()), &transaction)
}
