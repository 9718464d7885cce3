//! What is left for a thread, and the host's plan for the rest: derived from one recording, so that the
//! two cannot disagree.

use std::collections::HashMap;

use super::plan::{Plan, Planner};
use super::recorder::{Binding, Id, Input, Operand, Operation, Recorded, Recorder, Ternary};
use super::sha256d::sha256d;
use super::word::{Name, Sigma};

/// A value that an operation of the thread reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A constant of the specification, or several folded.
    Constant(u32),
    /// A word that the host computed for the job.
    Slot(usize),
    /// The nonce.
    Nonce,
    /// The result of an earlier step.
    Step(usize),
}

/// One operation of the thread.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Sigma(Sigma, Value),
    Ternary(Ternary, [Value; 3]),
    /// Two terms or more: a constant or a slot first, if there is one, then in the order of recording.
    Sum(Vec<Value>),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operator: Operator,
    pub(super) name: Option<Name>,
    /// How many later steps read it.
    pub(super) uses: usize,
}

/// The test of one nonce as a straight line, and the plan for its job words.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// In order; a step reads only earlier ones.
    pub(super) steps: Vec<Step>,
    /// Digest word 7 is the sum of these...
    pub(super) word7: Vec<Value>,
    /// ...and this constant, which the zero test moves to the other side.
    pub(super) word7_constant: u32,
    /// How the host fills the slots.
    pub(super) plan: Plan,
}

/// How many operations a thread does for one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Σ0 and Σ1.
    pub big_sigma: usize,
    /// σ0 and σ1.
    pub small_sigma: usize,
    /// Ch and Maj.
    pub ch_maj: usize,
    /// Sums, counted as additions of two words.
    pub adds: usize,
    /// Job words read.
    pub slots: usize,
}

impl Program {
    /// The std layout: one nonce per thread, everything else fixed by the job.
    pub(super) fn std() -> Self {
        let recorder = Recorder::default();
        let midstate = [0, 1, 2, 3, 4, 5, 6, 7].map(|word| recorder.input(Input::Midstate(word)));
        let tail = [0, 1, 2].map(|word| recorder.input(Input::Tail(word)));
        let digest = sha256d(midstate, tail, recorder.input(Input::Nonce));
        let root = digest[7].id();
        Self::derive(recorder.into_recorded(), root.unwrap_or_default())
    }

    /// Operations of the zero test (`masked` false) or of the mask test.
    pub(super) fn cost(&self, masked: bool) -> Cost {
        let mut cost =
            Cost { big_sigma: 0, small_sigma: 0, ch_maj: 0, adds: 0, slots: self.plan.slots() };
        for step in &self.steps {
            match &step.operator {
                Operator::Sigma(function, _) if function.is_small() => cost.small_sigma += 1,
                Operator::Sigma(..) => cost.big_sigma += 1,
                Operator::Ternary(..) => cost.ch_maj += 1,
                Operator::Sum(terms) => cost.adds += terms.len() - 1,
            }
        }
        cost.adds += self.word7.len() - 1 + usize::from(masked);
        cost
    }

    /// Splits what was recorded at its binding times. Only what `root`, digest word 7, needs survives.
    fn derive(recorded: Vec<Recorded>, root: Id) -> Self {
        let gathered = Gathered::new(recorded, root);
        let mut planner = Planner::default();
        let mut steps: Vec<Step> = Vec::new();
        let mut step_of: HashMap<Id, Value> = HashMap::new();
        let mut word7 = (Vec::new(), 0);
        for (id, node) in gathered.recorded.iter().enumerate() {
            if node.binding == Binding::Job || !gathered.live[id] {
                continue;
            }
            let mut value = |id: Id| match step_of.get(&id) {
                Some(value) => *value,
                None => Value::Slot(planner.slot(&gathered.recorded, id)),
            };
            let operator = match &node.operation {
                Operation::Input(_) => {
                    step_of.insert(id, Value::Nonce);
                    continue;
                }
                Operation::Sigma(function, x) => Operator::Sigma(*function, value(*x)),
                Operation::Ternary(function, operands) => Operator::Ternary(
                    *function,
                    operands.map(|operand| match operand {
                        Operand::Constant(constant) => Value::Constant(constant),
                        Operand::Recorded(id) => value(id),
                    }),
                ),
                Operation::Sum { terms, constant } => {
                    let is_job = |id: &Id| gathered.recorded[*id].binding == Binding::Job;
                    let (job, hash): (Vec<Id>, Vec<Id>) = terms.iter().copied().partition(is_job);
                    let mut values: Vec<Value> = hash.into_iter().map(value).collect();
                    if !job.is_empty() {
                        values.insert(
                            0,
                            Value::Slot(planner.sum_slot(&gathered.recorded, job, *constant)),
                        );
                    } else if id == root {
                        word7 = (values, *constant);
                        continue;
                    } else if *constant != 0 {
                        values.insert(0, Value::Constant(*constant));
                    }
                    Operator::Sum(values)
                }
            };
            step_of.insert(id, Value::Step(steps.len()));
            steps.push(Step { operator, name: node.name, uses: 0 });
        }
        count_uses(&mut steps, &word7.0);
        Self {
            steps,
            word7: word7.0,
            word7_constant: word7.1,
            plan: planner.finish(&gathered.recorded),
        }
    }
}

fn count_uses(steps: &mut [Step], word7: &[Value]) {
    let read: Vec<Value> = steps
        .iter()
        .flat_map(|step| match &step.operator {
            Operator::Sigma(_, x) => vec![*x],
            Operator::Ternary(_, operands) => operands.to_vec(),
            Operator::Sum(terms) => terms.clone(),
        })
        .chain(word7.iter().copied())
        .collect();
    for value in read {
        if let Value::Step(index) = value {
            steps[index].uses += 1;
        }
    }
}

/// The recording after dead code is dropped and sums are gathered.
///
/// A sum that only other sums read can be merged into them, so that all its job words and constants
/// meet in one slot. That pays when it has one reader, or when it is job words plus a single word of the
/// thread and each reader has job words or constants of its own: then the merged sum costs nothing.
struct Gathered {
    recorded: Vec<Recorded>,
    /// Whether the thread computes it.
    live: Vec<bool>,
}

impl Gathered {
    fn new(mut recorded: Vec<Recorded>, root: Id) -> Self {
        let mut readers: Vec<Readers> = (0..recorded.len()).map(|_| Readers::default()).collect();
        let mut live = vec![false; recorded.len()];
        readers[root].not_sums = true;
        // Readers have greater indices, so each word meets its final readers.
        for id in (0..=root).rev() {
            if recorded[id].binding == Binding::Job || readers[id].none() {
                continue;
            }
            live[id] = true;
            match recorded[id].operation.clone() {
                Operation::Input(_) => {}
                Operation::Sigma(_, x) => readers[x].not_sums = true,
                Operation::Ternary(_, words) => {
                    for word in words {
                        if let Operand::Recorded(word) = word {
                            readers[word].not_sums = true;
                        }
                    }
                }
                Operation::Sum { terms, constant } => {
                    let merge = merges(&recorded, id, &terms, constant, &readers[id]);
                    let into = if merge { std::mem::take(&mut readers[id].sums) } else { vec![id] };
                    live[id] = !merge;
                    for reader in into {
                        if merge {
                            merge_into(&mut recorded[reader].operation, id, &terms, constant);
                        }
                        for term in &terms {
                            readers[*term].sums.push(reader);
                        }
                    }
                }
            }
        }
        Self { recorded, live }
    }
}

/// Who reads a word: once for each time a sum has it as a term.
#[derive(Default)]
struct Readers {
    sums: Vec<Id>,
    not_sums: bool,
}

impl Readers {
    fn none(&self) -> bool {
        self.sums.is_empty() && !self.not_sums
    }
}

fn merges(recorded: &[Recorded], id: Id, terms: &[Id], constant: u32, readers: &Readers) -> bool {
    let is_job = |id: &Id| recorded[*id].binding == Binding::Job;
    let hash_terms = terms.iter().filter(|term| !is_job(term)).count();
    let has_early = constant != 0 || hash_terms < terms.len();
    let reader_has_early = |reader: &Id| match &recorded[*reader].operation {
        Operation::Sum { terms, constant } => {
            *constant != 0 || terms.iter().any(|term| *term != id && is_job(term))
        }
        _ => false,
    };
    !readers.not_sums
        && (readers.sums.len() == 1
            || (hash_terms == 1 && has_early && readers.sums.iter().all(reader_has_early)))
}

fn merge_into(reader: &mut Operation, id: Id, terms: &[Id], constant: u32) {
    if let Operation::Sum { terms: reader_terms, constant: reader_constant } = reader
        && let Some(position) = reader_terms.iter().position(|term| *term == id)
    {
        reader_terms.remove(position);
        reader_terms.extend(terms);
        reader_terms.sort_unstable();
        *reader_constant = reader_constant.wrapping_add(constant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::JobWords;
    use crate::kernel::word::Word;

    /// Runs the program as a thread would. Returns digest word 7.
    fn run(program: &Program, slots: &[u32], nonce: u32) -> u32 {
        let mut results: Vec<u32> = Vec::new();
        for step in &program.steps {
            let value = |value: &Value| match *value {
                Value::Constant(constant) => constant,
                Value::Slot(slot) => slots[slot],
                Value::Nonce => nonce,
                Value::Step(step) => results[step],
            };
            let result = match &step.operator {
                Operator::Sigma(function, x) => function.apply(value(x)),
                Operator::Ternary(Ternary::Ch, [e, f, g]) => value(e).ch(value(f), value(g)),
                Operator::Ternary(Ternary::Maj, [a, b, c]) => value(a).maj(value(b), value(c)),
                Operator::Sum(terms) => terms.iter().map(value).fold(0, u32::wrapping_add),
            };
            results.push(result);
        }
        program.word7.iter().fold(program.word7_constant, |sum, value| {
            sum.wrapping_add(match *value {
                Value::Constant(constant) => constant,
                Value::Slot(slot) => slots[slot],
                Value::Nonce => nonce,
                Value::Step(step) => results[step],
            })
        })
    }

    #[test]
    fn program_and_plan_equal_the_plain_function() {
        let program = Program::std();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let job = JobWords {
                midstate: std::array::from_fn(|_| random.u32(..)),
                tail: std::array::from_fn(|_| random.u32(..)),
            };
            let slots = program.plan.fill(&job);
            let nonce = random.u32(..);
            assert_eq!(run(&program, &slots, nonce), sha256d(job.midstate, job.tail, nonce)[7]);
        }
    }

    /// The sums by hand, per round. First hash: 2 adds in round 3, 5 in 4..=6, 6 in 7..=17, 7 in
    /// 18..=63 and 8 at the end; its schedule 110. Second hash: 2 in round 0, 6 in 1..=3 and 8..=15, 7 in
    /// 4..=7 and 16..=56, 5 in 57..=59 and 4 in round 60, whose constant the zero test takes; its
    /// schedule 116.
    #[test]
    fn std_has_the_operations_counted_by_hand() {
        let first = 2 + 3 * 5 + 11 * 6 + 46 * 7 + 8 + 110;
        let second = 2 + 11 * 6 + 45 * 7 + 3 * 5 + 4 + 116;
        let expected =
            Cost { big_sigma: 236, small_sigma: 156, ch_maj: 236, adds: first + second, slots: 26 };
        assert_eq!(Program::std().cost(false), expected);
        assert_eq!(expected.adds, 1041);
        // The plan's 1044 adds K[16] and K[17] in the thread, and K[60] before the test.
        assert_eq!(expected.adds + 3, 1044);
        assert_eq!(Program::std().cost(true).adds, 1042);
    }

    #[test]
    fn the_zero_test_is_the_known_one() {
        // Word 7 is E60 + IV[7], so it is zero when E60 = 0xa41f32e7; here K[60] has joined it too.
        let program = Program::std();
        let k60 = crate::kernel::sha256d::K[60];
        assert_eq!(program.word7_constant.wrapping_neg().wrapping_add(k60), 0xa41f_32e7);
    }
}
