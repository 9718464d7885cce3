//! The sources that a run ever had, and which of them are listed now.

use std::fs::File;
use std::path::PathBuf;

use super::Args;
use super::lines::{self, Recipe};
use crate::cli::Failure;
use crate::limits::SOURCES_EVER;
use crate::runtime::mining::{Sources, Title};
use crate::runtime::net::Line;
use crate::source::failover::Plan;
use crate::source::location::Location;
use crate::work::SourceId;

/// By their numbers, with the order in which the listed ones are preferred.
pub(super) struct Roster {
    recipes: Vec<Recipe>,
    order: Vec<SourceId>,
    plan: Plan,
    /// Where solved blocks lie.
    state: PathBuf,
    /// Keeps other processes away from them.
    blocks: Option<File>,
}

/// Other sources, or the same ones in another order or with other parts.
pub(super) struct Change {
    /// What the run is told.
    pub(super) sources: Sources,
    /// The new ones, with the numbers that they get.
    pub(super) added: Vec<(SourceId, Recipe)>,
    blocks: Option<File>,
}

impl Roster {
    /// These sources, with what is said of them.
    pub(super) fn new(args: &Args, sources: &[Location], state: PathBuf) -> Result<Self, Failure> {
        let recipes = lines::recipes(args, sources)?;
        let order = (0..).map(SourceId).take(recipes.len()).collect();
        Ok(Self { recipes, order, plan: lines::plan(args, sources)?, state, blocks: None })
    }

    /// Keeps other processes away from solved blocks, if there can be any.
    pub(super) fn lock(&mut self) -> Result<(), Failure> {
        self.blocks = lines::lock(&self.recipes, &self.state)?;
        Ok(())
    }

    /// The ways to them.
    pub(super) fn open(&self) -> Result<Vec<Line>, Failure> {
        self.recipes().map(|(source, recipe)| recipe.open(source, &self.state)).collect()
    }

    pub(super) fn recipes(&self) -> impl Iterator<Item = (SourceId, &Recipe)> {
        (0..).map(SourceId).zip(&self.recipes)
    }

    pub(super) fn titles(&self) -> Vec<Title> {
        self.recipes.iter().map(|recipe| recipe.title.clone()).collect()
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan.clone()
    }

    /// What has to change for these settings to count; `None` when nothing has. A source that was removed before and
    /// comes back alike keeps its number and its account.
    pub(super) fn change(&self, args: &Args) -> Result<Option<Change>, Failure> {
        if args.sources.is_empty() {
            return Err(Failure::usage(
                "no --source is left; give one, or end adit: the practice pool is for runs that begin without one",
            ));
        }
        if args.sources.contains(&Location::Replay) {
            return Err(Failure::usage("replay: is a run of its own; end this one first"));
        }
        let plan = lines::plan(args, &args.sources)?;
        let mut order = Vec::new();
        let mut added: Vec<(SourceId, Recipe)> = Vec::new();
        for recipe in lines::recipes(args, &args.sources)? {
            let is_it = |(source, known): &(SourceId, &Recipe)| {
                **known == recipe && !order.contains(source)
            };
            let known = self.recipes().find(is_it).map(|(source, _)| source);
            let source = match known {
                Some(source) => source,
                None => number(self.recipes.len() + added.len())?,
            };
            if known.is_none() {
                added.push((source, recipe));
            }
            order.push(source);
        }
        if order == self.order && plan == self.plan {
            return Ok(None);
        }
        let blocks = match self.blocks {
            Some(_) => None,
            None => lines::lock(added.iter().map(|(_, recipe)| recipe), &self.state)?,
        };
        let line = |(source, recipe): &(SourceId, Recipe)| {
            Ok((recipe.title.clone(), recipe.open(*source, &self.state)?))
        };
        let mut opened = added.iter().map(line).collect::<Result<Vec<_>, Failure>>()?;
        lines::recover(opened.iter_mut().map(|(_, line)| line));
        Ok(Some(Change { sources: Sources { added: opened, order, plan }, added, blocks }))
    }

    /// Notes that the run was told of a change.
    pub(super) fn note(&mut self, change: &mut Change) {
        self.blocks = self.blocks.take().or_else(|| change.blocks.take());
        self.recipes.extend(change.added.iter().map(|(_, recipe)| recipe.clone()));
        self.order.clone_from(&change.sources.order);
        self.plan = change.sources.plan.clone();
    }
}

fn number(place: usize) -> Result<SourceId, Failure> {
    let number = u16::try_from(place).ok().filter(|_| place < SOURCES_EVER);
    number.map(SourceId).ok_or_else(|| {
        Failure::usage(format!(
            "this run had {SOURCES_EVER} different sources, and takes no more; start adit again"
        ))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn args(options: &[&str]) -> Args {
        Alone::try_parse_from([&["mine", "--user=w"], options].concat()).unwrap().args
    }

    fn roster(options: &[&str]) -> Roster {
        let args = args(options);
        Roster::new(&args, &args.sources, "nowhere".into()).unwrap_or_else(|e| panic!("{e:?}"))
    }

    fn numbers(order: &[SourceId]) -> Vec<u16> {
        order.iter().map(|source| source.0).collect()
    }

    const A: &str = "--source=stratum+tcp://a:1";
    const B: &str = "--source=stratum+tcp://b:1";

    #[test]
    fn sources_keep_their_numbers_whatever_their_order_and_come_back_to_them() {
        let mut roster = roster(&[A, B]);
        let mut to = |options: &[&str]| {
            let mut change = roster.change(&args(options)).unwrap_or_else(|e| panic!("{e:?}"))?;
            roster.note(&mut change);
            Some((numbers(&change.sources.order), change.added.len()))
        };
        assert_eq!(to(&[A, B]), None);
        assert_eq!(to(&[B, A]), Some((vec![1, 0], 0)));
        assert_eq!(to(&[B]), Some((vec![1], 0)));
        assert_eq!(to(&["--source=stratum+tcp://c:1", B]), Some((vec![2, 1], 1)));
        assert_eq!(to(&[A, B]), Some((vec![0, 1], 0)));
        assert_eq!(to(&[A, B, "--quota=1=80,2=20"]), Some((vec![0, 1], 0)));
        assert_eq!(to(&[A, B, "--quota=1=80,2=20"]), None);
        // What is said to it makes it another one.
        assert_eq!(to(&[A, "--min-difficulty=8"]), Some((vec![3], 1)));
        assert_eq!(to(&[A, A, "--min-difficulty=8"]), Some((vec![3, 4], 1)));
    }

    #[test]
    fn settings_without_a_source_and_with_too_many_are_refused() {
        let mut roster = roster(&[A]);
        let refused = |roster: &Roster, options: &[&str]| match roster.change(&args(options)) {
            Err(failure) => failure.message,
            Ok(_) => panic!("{options:?} is taken"),
        };
        assert!(refused(&roster, &[]).contains("no --source is left"));
        assert!(refused(&roster, &["--source=replay:"]).contains("end this one first"));
        for number in 1..SOURCES_EVER {
            let source = format!("--source=stratum+tcp://a{number}:1");
            let change = roster.change(&args(&[&source])).unwrap_or_else(|e| panic!("{e:?}"));
            roster.note(&mut change.unwrap());
        }
        assert!(refused(&roster, &[B]).contains("start adit again"));
        assert!(roster.change(&args(&[A])).is_ok_and(|change| change.is_some()));
    }
}
