//! The host's part of a kernel: which job words go into which slot, and how they are computed.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::recorder::{Id, Input, Operand, Operation, Recorded, Ternary};
use super::word::{Sigma, Word};
use crate::limits::JOB_SLOTS;

/// The words of a header that a kernel starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobWords {
    /// The state after the header's first 64 bytes.
    pub midstate: [u32; 8],
    /// The big-endian words of bytes 64..76: end of the merkle root, time, bits.
    pub tail: [u32; 3],
}

/// Computes a job's slots. Derived with the kernel that reads them.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In order; a step reads only earlier ones.
    steps: Vec<PlanStep>,
    /// The step whose result each slot holds.
    slots: Vec<usize>,
    /// What each slot holds, as a formula.
    formulas: Vec<String>,
}

#[derive(Debug, Clone)]
enum PlanStep {
    Input(Input),
    Sigma(Sigma, usize),
    Ternary(Ternary, [PlanOperand; 3]),
    Sum(Vec<usize>, u32),
}

#[derive(Debug, Clone, Copy)]
enum PlanOperand {
    Constant(u32),
    Step(usize),
}

impl Plan {
    /// The plan that passes the job's eleven words on as they are: midstate, then tail.
    #[must_use]
    pub fn raw() -> Self {
        let inputs: Vec<Input> =
            (0..8).map(Input::Midstate).chain((0..3).map(Input::Tail)).collect();
        Self {
            slots: (0..inputs.len()).collect(),
            formulas: inputs.iter().map(|input| input_name(*input)).collect(),
            steps: inputs.into_iter().map(PlanStep::Input).collect(),
        }
    }

    /// The plan of a kernel that reads no such words.
    #[must_use]
    pub const fn none() -> Self {
        Self { steps: Vec::new(), slots: Vec::new(), formulas: Vec::new() }
    }

    /// How many slots the kernel reads.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What each slot holds. `m0`..`m7` is the midstate, `w0`..`w2` the tail; others are named as in
    /// FIPS 180-4, with the number of their round.
    #[must_use]
    pub fn formulas(&self) -> &[String] {
        &self.formulas
    }

    /// The slots for a job; those that the kernel does not read are zero.
    #[must_use]
    pub fn fill(&self, job: &JobWords) -> [u32; JOB_SLOTS] {
        let mut results: Vec<u32> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let operand = |operand: PlanOperand| match operand {
                PlanOperand::Constant(value) => value,
                PlanOperand::Step(step) => results[step],
            };
            let result = match step {
                PlanStep::Input(Input::Midstate(word)) => job.midstate[usize::from(*word)],
                PlanStep::Input(Input::Tail(word)) => job.tail[usize::from(*word)],
                PlanStep::Input(Input::Nonce) => 0, // never planned: the nonce is no job word
                PlanStep::Sigma(function, x) => function.apply(results[*x]),
                PlanStep::Ternary(Ternary::Ch, [e, f, g]) => {
                    operand(*e).ch(operand(*f), operand(*g))
                }
                PlanStep::Ternary(Ternary::Maj, [a, b, c]) => {
                    operand(*a).maj(operand(*b), operand(*c))
                }
                PlanStep::Sum(terms, constant) => {
                    terms.iter().fold(*constant, |sum, term| sum.wrapping_add(results[*term]))
                }
            };
            results.push(result);
        }
        let mut slots = [0; JOB_SLOTS];
        for (slot, step) in slots.iter_mut().zip(&self.slots) {
            *slot = results[*step];
        }
        slots
    }
}

/// Hands out slots while a program is derived.
#[derive(Debug, Default)]
pub(super) struct Planner {
    slots: Vec<(Wanted, Option<Id>)>,
    slot_of: HashMap<Wanted, usize>,
}

/// What a slot shall hold: the sum of these recorded words and a constant.
type Wanted = (Vec<Id>, u32);

impl Planner {
    /// The slot of a recorded job word.
    pub(super) fn slot(&mut self, recorded: &[Recorded], id: Id) -> usize {
        match &recorded[id].operation {
            // Looked up by its terms, so that a sum merged elsewhere finds the same slot.
            Operation::Sum { terms, constant } => self.wanted((terms.clone(), *constant), Some(id)),
            _ => self.wanted((vec![id], 0), Some(id)),
        }
    }

    /// The slot of a sum of recorded job words.
    pub(super) fn sum_slot(
        &mut self,
        recorded: &[Recorded],
        terms: Vec<Id>,
        constant: u32,
    ) -> usize {
        match (&terms[..], constant) {
            ([id], 0) => self.slot(recorded, *id),
            _ => self.wanted((terms, constant), None),
        }
    }

    fn wanted(&mut self, wanted: Wanted, recorded_as: Option<Id>) -> usize {
        *self.slot_of.entry(wanted.clone()).or_insert_with(|| {
            self.slots.push((wanted, recorded_as));
            self.slots.len() - 1
        })
    }

    pub(super) fn finish(self, recorded: &[Recorded]) -> Plan {
        let mut plan = Plan { steps: Vec::new(), slots: Vec::new(), formulas: Vec::new() };
        let mut step_of = HashMap::new();
        for ((terms, constant), recorded_as) in self.slots {
            let (step, formula) = if let Some(id) = recorded_as {
                (plan.add_step(recorded, &mut step_of, id), formula(recorded, id))
            } else {
                let steps =
                    terms.iter().map(|id| plan.add_step(recorded, &mut step_of, *id)).collect();
                (plan.push(PlanStep::Sum(steps, constant)), sum_formula(recorded, &terms, constant))
            };
            plan.slots.push(step);
            plan.formulas.push(formula);
        }
        plan
    }
}

impl Plan {
    fn push(&mut self, step: PlanStep) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Adds a recorded word and what it needs; each once.
    fn add_step(
        &mut self,
        recorded: &[Recorded],
        step_of: &mut HashMap<Id, usize>,
        id: Id,
    ) -> usize {
        if let Some(step) = step_of.get(&id) {
            return *step;
        }
        let step = match &recorded[id].operation {
            Operation::Input(input) => PlanStep::Input(*input),
            Operation::Sigma(function, x) => {
                PlanStep::Sigma(*function, self.add_step(recorded, step_of, *x))
            }
            Operation::Ternary(function, words) => PlanStep::Ternary(
                *function,
                words.map(|word| match word {
                    Operand::Constant(value) => PlanOperand::Constant(value),
                    Operand::Recorded(id) => {
                        PlanOperand::Step(self.add_step(recorded, step_of, id))
                    }
                }),
            ),
            Operation::Sum { terms, constant } => PlanStep::Sum(
                terms.iter().map(|term| self.add_step(recorded, step_of, *term)).collect(),
                *constant,
            ),
        };
        let step = self.push(step);
        step_of.insert(id, step);
        step
    }
}

fn input_name(input: Input) -> String {
    match input {
        Input::Midstate(word) => format!("m{word}"),
        Input::Tail(word) => format!("w{word}"),
        Input::Nonce => "w3".to_owned(),
    }
}

/// A recorded word as text: its name if it has one, else what it is made of.
fn formula(recorded: &[Recorded], id: Id) -> String {
    let node = &recorded[id];
    match (&node.operation, node.name) {
        (Operation::Input(input), _) => input_name(*input),
        (_, Some(name)) => name.to_string(),
        (Operation::Sigma(function, x), None) => {
            let symbol = match function {
                Sigma::Big0 => "Σ0",
                Sigma::Big1 => "Σ1",
                Sigma::Small0 => "σ0",
                Sigma::Small1 => "σ1",
            };
            format!("{symbol}({})", formula(recorded, *x))
        }
        (Operation::Ternary(function, words), None) => {
            let words = words.map(|word| match word {
                Operand::Constant(value) => format!("{value:#010x}"),
                Operand::Recorded(id) => formula(recorded, id),
            });
            format!("{}({})", if *function == Ternary::Ch { "Ch" } else { "Maj" }, words.join(", "))
        }
        (Operation::Sum { terms, constant }, None) => sum_formula(recorded, terms, *constant),
    }
}

fn sum_formula(recorded: &[Recorded], terms: &[Id], constant: u32) -> String {
    let mut text = terms.iter().map(|id| formula(recorded, *id)).collect::<Vec<_>>().join(" + ");
    if constant != 0 {
        let _ = write!(text, " + {constant:#010x}"); // writing to a String cannot fail
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::recorder::Binding;
    use super::*;

    #[test]
    fn the_raw_plan_hands_the_words_on() {
        let job = JobWords { midstate: [1, 2, 3, 4, 5, 6, 7, 8], tail: [9, 10, 11] };
        let plan = Plan::raw();
        assert_eq!(plan.slots(), 11);
        assert_eq!(plan.fill(&job)[..12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]);
        assert_eq!(plan.formulas()[8], "w0");
    }

    #[test]
    fn a_sum_has_one_slot_however_it_is_asked_for() {
        let recorded = |operation| Recorded { operation, binding: Binding::Job, name: None };
        let recorded = [
            recorded(Operation::Input(Input::Midstate(0))),
            recorded(Operation::Input(Input::Tail(2))),
            recorded(Operation::Sum { terms: vec![0, 1], constant: 7 }),
        ];
        let mut planner = Planner::default();
        assert_eq!(planner.slot(&recorded, 2), 0);
        assert_eq!(planner.sum_slot(&recorded, vec![0, 1], 7), 0);
        assert_eq!(planner.slot(&recorded, 0), 1);
        assert_eq!(planner.sum_slot(&recorded, vec![0], 0), 1);
        assert_eq!(planner.sum_slot(&recorded, vec![0], 1), 2);
        let plan = planner.finish(&recorded);
        assert_eq!(plan.formulas(), ["m0 + w2 + 0x00000007", "m0", "m0 + 0x00000001"]);
        let job = JobWords { midstate: [u32::MAX; 8], tail: [0, 0, 3] };
        assert_eq!(plan.fill(&job)[..4], [9, u32::MAX, 0, 0]);
    }
}
