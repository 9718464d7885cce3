//! Hashes every share of a share log again.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use super::{Line, SUM, sum};
use crate::chain::{block_hash, difficulty, meets, parse_header, parse_target};
use crate::limits::SHARE_LOG_LINE;
use crate::work::{Ticket, Verdict};

/// What a share log has in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Lines, whatever is in them.
    pub lines: u64,
    /// Runs that began.
    pub runs: u64,
    /// Shares that were hashed again, and are what their lines say.
    pub right: u64,
    /// Shares that are not.
    pub wrong: u64,
    /// Lines that are no longer what was written.
    pub corrupt: u64,
    /// Lines that were cut off.
    pub torn: u64,
    /// The shares' verdicts, one for each.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Verdicts of shares that an earlier log has.
    pub of_earlier: u64,
    /// Shares without a verdict.
    pub open: u64,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It ends too soon, as when a machine loses power.
    #[error("torn: its end is missing")]
    Torn,
    /// It is no longer what was written.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    /// The share is not what it says.
    #[error("wrong: {0}")]
    Wrong(String),
}

/// Reads a share log and tells the number of every line with trouble, from 1.
///
/// # Errors
///
/// When it cannot be read to its end.
pub fn check(log: &mut impl BufRead, mut tell: impl FnMut(u64, &Trouble)) -> io::Result<Checked> {
    let mut checked = Checked::default();
    // The shares of the run that are known, and whether they have their verdict.
    let mut shares = BTreeMap::new();
    while let Some(line) = next(log)? {
        checked.lines += 1;
        let taken = line.and_then(|line| checked.take(opened(&line)?, &mut shares));
        let Err(trouble) = taken else { continue };
        match trouble {
            Trouble::Torn => checked.torn += 1,
            Trouble::Corrupt(_) => checked.corrupt += 1,
            Trouble::Wrong(_) => checked.wrong += 1,
        }
        tell(checked.lines, &trouble);
    }
    checked.close(&mut shares);
    Ok(checked)
}

/// The shares of a run by their number.
type Shares = BTreeMap<Ticket, Option<Verdict>>;

impl Checked {
    fn take(&mut self, line: Line, shares: &mut Shares) -> Result<(), Trouble> {
        match line {
            Line::Run { .. } => {
                self.close(shares);
                self.runs += 1;
            }
            Line::Found { share, header, hash, target, difficulty, .. } => {
                if shares.insert(share, None).is_some() {
                    return Err(Trouble::Wrong(format!("{share} was found before in this run")));
                }
                hash_again(&header, &hash, target.as_deref(), difficulty)
                    .map_err(Trouble::Wrong)?;
                self.right += 1;
            }
            Line::Verdict { share, verdict, .. } => match shares.get_mut(&share) {
                None => self.of_earlier += 1,
                Some(Some(_)) => {
                    return Err(Trouble::Wrong(format!("{share} has two verdicts")));
                }
                Some(open) => *open = Some(verdict),
            },
        }
        Ok(())
    }

    /// No more is to come of these shares.
    fn close(&mut self, shares: &mut Shares) {
        for verdict in std::mem::take(shares).into_values() {
            match verdict {
                Some(verdict) => *self.verdicts.entry(verdict).or_default() += 1,
                None => self.open += 1,
            }
        }
    }
}

fn hash_again(
    header: &str,
    told: &str,
    target: Option<&str>,
    told_difficulty: f64,
) -> Result<(), String> {
    let header = parse_header(header).map_err(|error| format!("its header: {error}"))?;
    let hash = block_hash(&header);
    if hash.to_string() != told {
        return Err(format!("its header hashes to {hash}, not to {told}"));
    }
    // A share of a job that was forgotten meanwhile has no target.
    let Some(target) = target else { return Ok(()) };
    let target = parse_target(target).map_err(|error| format!("its target: {error}"))?;
    if !meets(&hash, &target) {
        return Err(format!("its hash {hash} is above its target {target:064x}"));
    }
    let real = difficulty(&target);
    // Both were computed alike, and written with all their digits.
    if (real / told_difficulty - 1.0).abs() > 1e-9 {
        return Err(format!("its target has difficulty {real}, not {told_difficulty}"));
    }
    Ok(())
}

/// Reads a line and its checksum.
fn opened(line: &str) -> Result<Line, Trouble> {
    let sealed = line.strip_suffix(SUM.1).and_then(|line| line.rsplit_once(SUM.0));
    let Some((text, told)) = sealed.filter(|(_, told)| told.len() == 16) else {
        return Err(if line.starts_with('{') && !line.ends_with('}') {
            Trouble::Torn
        } else {
            Trouble::Corrupt("it has no checksum")
        });
    };
    let text = format!("{text}}}");
    if sum(&text) != told {
        return Err(Trouble::Corrupt("its checksum does not fit"));
    }
    serde_json::from_str(&text).map_err(|_| Trouble::Corrupt("it is no line of a share log"))
}

/// The next line without its end; one that is too long, or no text, is passed over.
fn next(log: &mut impl BufRead) -> io::Result<Option<Result<String, Trouble>>> {
    let mut line = Vec::new();
    let read = log.by_ref().take(SHARE_LOG_LINE + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && read as u64 > SHARE_LOG_LINE {
        log.skip_until(b'\n')?;
        return Ok(Some(Err(Trouble::Corrupt("it is longer than any that is written"))));
    }
    // Bytes that are no text spoil the checksum, which is told then.
    let text = String::from_utf8_lossy(&line);
    Ok(Some(Ok(text.trim_end_matches('\n').to_owned())))
}
