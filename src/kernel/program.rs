//! What is left for a thread, and the host's plan for the rest: derived from one recording, so that the
//! two cannot disagree.

use std::collections::HashMap;

use super::plan::{Plan, Planner};
use super::recorder::{
    Binding, Bindings, Id, Input, Operand, Operation, Recorded, Recorder, Ternary,
};
use super::sha256d::sha256d;
use super::variant::Round;
use super::word::{Name, Role, Sigma};

/// A value that an operation of the shader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Value {
    /// A constant of the specification, or several folded.
    Constant(u32),
    /// A word that the host computed for the job.
    Job(usize),
    /// A word that the host computed for the version.
    Lane(usize),
    /// The nonce.
    Nonce,
    /// The result of an earlier step.
    Step(usize),
}

/// One operation of the shader.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Sigma(Sigma, Value),
    Ternary(Ternary, [Value; 3]),
    /// Two terms or more, added from left to right: a constant or the host's word, what the hash makes in
    /// the order of recording, the row's word. It comes last because RADV otherwise takes an addition of the
    /// row's word into the loop over headers, to join it with this one.
    Sum(Vec<Value>),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operator: Operator,
    pub(super) label: Option<Label>,
    /// [`Binding::Row`] or [`Binding::Hash`].
    pub(super) binding: Binding,
    /// One step of the same binding time reads it, and none besides.
    pub(super) read_once: bool,
}

/// What a step is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// A word of the specification.
    Word(Name),
    /// The part of its sum that depends on the nonce alone.
    RowPart(Name),
    /// T1 without its Ch.
    WithoutCh(Name),
}

/// The test of one hash as a straight line, and the plan for the words that the host computes.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// In order; a step reads only earlier ones, and a step of a row only such steps.
    pub(super) steps: Vec<Step>,
    /// The row's words that a hash reads, in the order of their first use.
    pub(super) row_words: Vec<Value>,
    /// Digest word 7 is the sum of these...
    pub(super) word7: Vec<Value>,
    /// ...and this constant, which the zero test moves to the other side.
    pub(super) word7_constant: u32,
    /// How the host fills the job's words.
    pub(super) job: Plan,
    /// How the host fills a version's words.
    pub(super) lane: Plan,
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Operations for each hash.
    pub hash: Operations,
    /// Operations for each nonce, shared by the headers that are tested with it.
    pub row: Operations,
    /// How many headers these are, at most.
    pub headers: u32,
    /// Words that the host computes for each job.
    pub job_words: usize,
    /// Words that the host computes for each version.
    pub lane_words: usize,
    /// Words that the hashes of one nonce share.
    pub row_words: usize,
}

/// Operations counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Operations {
    /// Σ0 and Σ1.
    pub big_sigma: usize,
    /// σ0 and σ1.
    pub small_sigma: usize,
    /// Ch and Maj.
    pub ch_maj: usize,
    /// Sums, counted as additions of two words.
    pub adds: usize,
    /// Sums, counted as additions of three words (or two, where two are left).
    pub three_input_adds: usize,
}

impl Cost {
    /// Operations of one kind per hash, with its part of those that headers share.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "some thousand operations")]
    pub fn per_hash(&self, of: fn(&Operations) -> usize) -> f64 {
        of(&self.hash) as f64 + of(&self.row) as f64 / f64::from(self.headers)
    }
}

impl Operations {
    fn sum(&mut self, terms: usize) {
        self.adds += terms - 1;
        self.three_input_adds += terms / 2;
    }
}

impl Program {
    /// SHA-256d of a header under a layout's binding times. Only what digest word 7 needs survives.
    pub(super) fn new(bindings: Bindings, round: Round) -> Self {
        let recorder = Recorder::new(bindings);
        let midstate = [0, 1, 2, 3, 4, 5, 6, 7].map(|word| recorder.input(Input::Midstate(word)));
        let tail = [0, 1, 2].map(|word| recorder.input(Input::Tail(word)));
        let digest = sha256d(midstate, tail, recorder.input(Input::Nonce));
        let root = digest[7].id().unwrap_or_default();
        let gathered = Gathered::new(recorder.into_recorded(), root);
        let mut builder = Builder::new(&gathered.recorded, root, bindings.nonce);
        for (id, node) in gathered.recorded.iter().enumerate() {
            if !node.binding.is_hosts() && gathered.live[id] {
                builder.add(id, node);
            }
        }
        if round == Round::Split {
            builder.split_rounds();
        }
        builder.finish()
    }

    /// Operations of the zero test (`masked` false) or of the mask test, where so many headers share what
    /// depends on the nonce alone.
    pub(super) fn cost(&self, masked: bool, headers: u32) -> Cost {
        let mut cost = Cost {
            hash: Operations::default(),
            row: Operations::default(),
            headers,
            job_words: self.job.slots(),
            lane_words: self.lane.slots(),
            row_words: self.row_words.len(),
        };
        for step in &self.steps {
            let operations =
                if step.binding == Binding::Row { &mut cost.row } else { &mut cost.hash };
            match &step.operator {
                Operator::Sigma(function, _) if function.is_small() => operations.small_sigma += 1,
                Operator::Sigma(..) => operations.big_sigma += 1,
                Operator::Ternary(..) => operations.ch_maj += 1,
                Operator::Sum(terms) => operations.sum(terms.len()),
            }
        }
        cost.hash.sum(self.word7.len() + usize::from(masked));
        cost
    }
}

/// Splits what was recorded at its binding times.
struct Builder<'r> {
    recorded: &'r [Recorded],
    root: Id,
    /// Of the nonce.
    nonce: Binding,
    job: Planner,
    lane: Planner,
    steps: Vec<Step>,
    step_of: HashMap<Id, Value>,
    row_parts: HashMap<Vec<Value>, Value>,
    word7: (Vec<Value>, u32),
}

impl<'r> Builder<'r> {
    fn new(recorded: &'r [Recorded], root: Id, nonce: Binding) -> Self {
        Self {
            recorded,
            root,
            nonce,
            job: Planner::default(),
            lane: Planner::default(),
            steps: Vec::new(),
            step_of: HashMap::new(),
            row_parts: HashMap::new(),
            word7: (Vec::new(), 0),
        }
    }

    fn add(&mut self, id: Id, node: &Recorded) {
        let operator = match &node.operation {
            Operation::Input(_) => {
                self.step_of.insert(id, Value::Nonce);
                return;
            }
            Operation::Sigma(function, x) => Operator::Sigma(*function, self.value(*x)),
            Operation::Ternary(function, operands) => Operator::Ternary(
                *function,
                operands.map(|operand| match operand {
                    Operand::Constant(constant) => Value::Constant(constant),
                    Operand::Recorded(id) => self.value(id),
                }),
            ),
            Operation::Sum { terms, constant } => {
                let values = self.sum(id, node, terms, *constant);
                if id == self.root {
                    return;
                }
                Operator::Sum(values)
            }
        };
        let value = self.step(operator, node.binding, node.name.map(Label::Word));
        self.step_of.insert(id, value);
    }

    fn step(&mut self, operator: Operator, binding: Binding, label: Option<Label>) -> Value {
        self.steps.push(Step { operator, label, binding, read_once: false });
        Value::Step(self.steps.len() - 1)
    }

    fn value(&mut self, id: Id) -> Value {
        match (self.step_of.get(&id), self.recorded[id].binding) {
            (Some(value), _) => *value,
            (None, Binding::Lane) => Value::Lane(self.lane.slot(self.recorded, id)),
            (None, _) => Value::Job(self.job.slot(self.recorded, id)),
        }
    }

    /// The terms of a sum, where everything that is known before the sum itself has been added up: by
    /// the host, or once per row.
    fn sum(&mut self, id: Id, node: &Recorded, terms: &[Id], constant: u32) -> Vec<Value> {
        let of = |binding: Binding| -> Vec<Id> {
            terms.iter().copied().filter(|term| self.recorded[*term].binding == binding).collect()
        };
        let (job, row, lane, hash) =
            (of(Binding::Job), of(Binding::Row), of(Binding::Lane), of(Binding::Hash));
        let has_lane = !lane.is_empty();
        let early = if has_lane {
            let all = [job, lane].concat();
            Some(Value::Lane(self.lane.sum_slot(self.recorded, all, constant)))
        } else if !job.is_empty() {
            Some(Value::Job(self.job.sum_slot(self.recorded, job, constant)))
        } else if id == self.root {
            self.word7.1 = constant;
            None
        } else {
            (constant != 0).then_some(Value::Constant(constant))
        };
        let mut row: Vec<Value> = row.into_iter().map(|term| self.value(term)).collect();
        let mut values: Vec<Value> = early.into_iter().collect();
        if node.binding == Binding::Hash && !row.is_empty() {
            if !has_lane {
                row.splice(0..0, values.drain(..));
            }
            row = vec![self.row_part(row, node.name)];
        }
        values.extend(hash.into_iter().map(|term| self.value(term)));
        values.append(&mut row);
        if id == self.root {
            self.word7.0.clone_from(&values);
        }
        values
    }

    /// One value for what is added up once per row.
    fn row_part(&mut self, values: Vec<Value>, name: Option<Name>) -> Value {
        if let [value] = values[..] {
            return value;
        }
        if let Some(value) = self.row_parts.get(&values) {
            return *value;
        }
        let operator = Operator::Sum(values.clone());
        let value = self.step(operator, Binding::Row, name.map(Label::RowPart));
        self.row_parts.insert(values, value);
        value
    }

    /// See [`Round::Split`]. A sum is added up from left to right, so Ch comes first, to meet the word that
    /// the other sum of the round has not, and Maj last.
    fn split_rounds(&mut self) {
        for index in 0..self.steps.len() {
            let Some(Label::Word(name @ Name { role: Role::T, .. })) = self.steps[index].label
            else {
                continue;
            };
            let readers: Vec<usize> = (index + 1..self.steps.len())
                .filter(|reader| self.steps[*reader].operator.reads(Value::Step(index)))
                .collect();
            let are_sums = readers
                .iter()
                .all(|reader| matches!(self.steps[*reader].operator, Operator::Sum(_)));
            let Operator::Sum(terms) = &self.steps[index].operator else { continue };
            let ch = terms.iter().position(|term| self.is_ternary(*term, Ternary::Ch));
            let Some(ch) = ch.filter(|_| terms.len() == 4 && readers.len() == 2 && are_sums) else {
                continue;
            };
            let Operator::Sum(terms) = &mut self.steps[index].operator else { continue };
            let ch = terms.remove(ch);
            self.steps[index].label = Some(Label::WithoutCh(name));
            for reader in readers {
                let Operator::Sum(terms) = &self.steps[reader].operator else { continue };
                let (last, others): (Vec<Value>, Vec<Value>) = terms
                    .iter()
                    .filter(|term| **term != Value::Step(index))
                    .partition(|term| self.is_ternary(**term, Ternary::Maj));
                let sum = [vec![ch], others, vec![Value::Step(index)], last].concat();
                self.steps[reader].operator = Operator::Sum(sum);
            }
        }
    }

    fn is_ternary(&self, value: Value, function: Ternary) -> bool {
        match value {
            Value::Step(step) => {
                matches!(self.steps[step].operator, Operator::Ternary(of, _) if of == function)
            }
            _ => false,
        }
    }

    fn finish(mut self) -> Program {
        let row_words = self.note_readers();
        Program {
            steps: self.steps,
            row_words,
            word7: self.word7.0,
            word7_constant: self.word7.1,
            job: self.job.finish(self.recorded),
            lane: self.lane.finish(self.recorded),
        }
    }

    /// Marks the steps that are read once. Returns the row's words that hashes read.
    fn note_readers(&mut self) -> Vec<Value> {
        let mut row_words = Vec::new();
        let mut readers = vec![Vec::new(); self.steps.len()];
        let reads = self.steps.iter().map(|step| (step.operator.operands(), step.binding));
        for (operands, reader) in reads.chain([(self.word7.0.clone(), Binding::Hash)]) {
            for value in operands {
                let binding = match value {
                    Value::Step(step) => {
                        readers[step].push(reader);
                        self.steps[step].binding
                    }
                    Value::Nonce => self.nonce,
                    _ => continue,
                };
                if binding == Binding::Row && reader == Binding::Hash && !row_words.contains(&value)
                {
                    row_words.push(value);
                }
            }
        }
        for (step, readers) in self.steps.iter_mut().zip(readers) {
            step.read_once = readers == [step.binding];
        }
        row_words
    }
}

impl Operator {
    fn reads(&self, value: Value) -> bool {
        self.operands().contains(&value)
    }

    pub(super) fn operands(&self) -> Vec<Value> {
        match self {
            Self::Sigma(_, x) => vec![*x],
            Self::Ternary(_, operands) => operands.to_vec(),
            Self::Sum(terms) => terms.clone(),
        }
    }
}

/// The recording after dead code is dropped and sums are gathered.
///
/// A sum that only other sums read can be merged into them, so that what is known early of all of them
/// meets. That is done when it has one reader, where it costs nothing, and when it saves additions: an
/// early word plus one word of the hash, say, all of whose readers have early words of their own.
struct Gathered {
    recorded: Vec<Recorded>,
    /// Whether the shader computes it.
    live: Vec<bool>,
}

impl Gathered {
    fn new(mut recorded: Vec<Recorded>, root: Id) -> Self {
        let mut readers: Vec<Readers> = (0..recorded.len()).map(|_| Readers::default()).collect();
        let mut live = vec![false; recorded.len()];
        readers[root].not_sums = true;
        // Readers have greater indices, so each word meets its final readers.
        for id in (0..=root).rev() {
            if recorded[id].binding.is_hosts() || readers[id].none() {
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
                Operation::Sum { terms, .. } => {
                    let merged = merged(&recorded, id, &readers[id]);
                    let into = if merged.is_some() {
                        live[id] = false;
                        std::mem::take(&mut readers[id].sums)
                    } else {
                        vec![id]
                    };
                    for (reader, operation) in merged.into_iter().flatten() {
                        recorded[reader].operation = operation;
                    }
                    for reader in into {
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

/// The readers of a sum with its terms in place of it, if that is to be done.
fn merged(recorded: &[Recorded], id: Id, readers: &Readers) -> Option<HashMap<Id, Operation>> {
    if readers.not_sums {
        return None;
    }
    let mut merged: HashMap<Id, Operation> = HashMap::new();
    for reader in &readers.sums {
        let operation = merged.entry(*reader);
        let operation = operation.or_insert_with(|| recorded[*reader].operation.clone());
        merge_into(operation, id, &recorded[id].operation);
    }
    let cost = |id: &Id, operation| additions(recorded, recorded[*id].binding, operation);
    let total = |sum: Additions, adds: Additions| (sum.0 + adds.0, sum.1 + adds.1);
    let before = merged.keys().map(|reader| cost(reader, &recorded[*reader].operation));
    let before = before.fold(cost(&id, &recorded[id].operation), total);
    let after = merged.iter().map(|(reader, operation)| cost(reader, operation));
    let after = after.fold((0, 0), total);
    (after < before || (readers.sums.len() == 1 && after == before)).then_some(merged)
}

/// Additions of two words per hash, and per row.
type Additions = (usize, usize);

fn additions(recorded: &[Recorded], binding: Binding, operation: &Operation) -> Additions {
    let Operation::Sum { terms, constant } = operation else { return (0, 0) };
    let count = |binding| terms.iter().filter(|term| recorded[**term].binding == binding).count();
    let (row, lane, hash) = (count(Binding::Row), count(Binding::Lane), count(Binding::Hash));
    let has_job = *constant != 0 || count(Binding::Job) > 0;
    // The host adds what is the job's to what is the version's; else the row takes it, if there is one.
    let rows = row + usize::from(lane == 0 && has_job && row > 0);
    let groups = hash + usize::from(row > 0) + usize::from(lane > 0 || (has_job && row == 0));
    let per_hash = if binding == Binding::Hash { groups.saturating_sub(1) } else { 0 };
    (per_hash, rows.saturating_sub(1))
}

fn merge_into(reader: &mut Operation, id: Id, merged: &Operation) {
    if let (
        Operation::Sum { terms: reader_terms, constant: reader_constant },
        Operation::Sum { terms, constant },
    ) = (reader, merged)
        && let Some(position) = reader_terms.iter().position(|term| *term == id)
    {
        reader_terms.remove(position);
        reader_terms.extend(terms);
        reader_terms.sort_unstable();
        *reader_constant = reader_constant.wrapping_add(*constant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::JobWords;
    use crate::kernel::word::Word;

    const STD: Bindings = Bindings { midstate: Binding::Job, nonce: Binding::Hash };
    const WIDE: Bindings = Bindings { midstate: Binding::Lane, nonce: Binding::Row };
    const PROGRAMS: [(Bindings, Round); 4] =
        [(STD, Round::Whole), (STD, Round::Split), (WIDE, Round::Whole), (WIDE, Round::Split)];

    /// Runs the program as a thread would. Returns digest word 7.
    fn run(program: &Program, job: &[u32], lane: &[u32], nonce: u32) -> u32 {
        let mut results: Vec<u32> = Vec::new();
        let value = |value: &Value, results: &[u32]| match *value {
            Value::Constant(constant) => constant,
            Value::Job(slot) => job[slot],
            Value::Lane(slot) => lane[slot],
            Value::Nonce => nonce,
            Value::Step(step) => results[step],
        };
        for step in &program.steps {
            let value = |operand: &Value| value(operand, &results);
            let result = match &step.operator {
                Operator::Sigma(function, x) => function.apply(value(x)),
                Operator::Ternary(Ternary::Ch, [e, f, g]) => value(e).ch(value(f), value(g)),
                Operator::Ternary(Ternary::Maj, [a, b, c]) => value(a).maj(value(b), value(c)),
                Operator::Sum(terms) => terms.iter().map(value).fold(0, u32::wrapping_add),
            };
            results.push(result);
        }
        let word7 = program.word7.iter().map(|operand| value(operand, &results));
        word7.fold(program.word7_constant, u32::wrapping_add)
    }

    #[test]
    fn programs_and_plans_equal_the_plain_function() {
        for (bindings, round) in PROGRAMS {
            let program = Program::new(bindings, round);
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..1000 {
                let job = JobWords {
                    midstate: std::array::from_fn(|_| random.u32(..)),
                    tail: std::array::from_fn(|_| random.u32(..)),
                };
                let (slots, lane) = (program.job.fill(&job), program.lane.fill(&job));
                let nonce = random.u32(..);
                let word7 = run(&program, &slots, &lane, nonce);
                assert_eq!(word7, sha256d(job.midstate, job.tail, nonce)[7]);
            }
        }
    }

    #[test]
    fn a_step_reads_only_what_is_known_before_it() {
        for (bindings, round) in PROGRAMS {
            let program = Program::new(bindings, round);
            for (index, step) in program.steps.iter().enumerate() {
                for operand in step.operator.operands() {
                    let known = match operand {
                        Value::Step(earlier) => {
                            let of_row = program.steps[earlier].binding == Binding::Row;
                            earlier < index && (of_row || step.binding == Binding::Hash)
                        }
                        Value::Lane(_) => step.binding == Binding::Hash,
                        _ => true,
                    };
                    assert!(known, "step {index} of {bindings:?}: {step:?}");
                }
            }
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
        let cost = Program::new(STD, Round::Whole).cost(false, 1);
        let hash = cost.hash;
        assert_eq!((hash.big_sigma, hash.small_sigma, hash.ch_maj), (236, 156, 236));
        assert_eq!(hash.adds, first + second);
        assert_eq!(hash.adds, 1041);
        // The plan's 1044 adds K[16] and K[17] in the thread, and K[60] before the test.
        assert_eq!(hash.adds + 3, 1044);
        assert_eq!((cost.row, cost.job_words, cost.lane_words), (Operations::default(), 26, 0));
        assert_eq!(Program::new(STD, Round::Whole).cost(true, 1).hash.adds, 1042);
    }

    /// Where the schedule of the first hash belongs to the row, so do its 110 additions and the constants
    /// of rounds 18 to 63, one addition each. The midstate is the lane's as it was the job's.
    #[test]
    fn wide_has_the_operations_counted_by_hand() {
        let cost = Program::new(WIDE, Round::Whole).cost(false, 1);
        let hash = cost.hash;
        assert_eq!((hash.big_sigma, hash.small_sigma, hash.ch_maj), (236, 156 - 76, 236));
        assert_eq!(hash.adds, 1041 - 110 - 46);
        let row = cost.row;
        assert_eq!((row.big_sigma, row.small_sigma, row.ch_maj, row.adds), (0, 76, 0, 110 + 46));
        // The nonce, and the schedule's words 18 to 63 with the constants of their rounds.
        assert_eq!(cost.row_words, 1 + 46);
        assert_eq!((cost.job_words, cost.lane_words), (8, 18));
    }

    /// A split round has one addition of two words more, and none of three words more: the rounds whose
    /// message word is known before the hash, 4 to 63 of the first and 8 to 15 of the second.
    #[test]
    fn split_rounds_cost_nothing_where_three_words_are_added_at_once() {
        let cost = |round| Program::new(WIDE, round).cost(false, 1).hash;
        let (whole, split) = (cost(Round::Whole), cost(Round::Split));
        assert_eq!(split.adds, whole.adds + 60 + 8);
        assert_eq!(split.three_input_adds, whole.three_input_adds);
    }

    #[test]
    fn the_zero_test_is_the_known_one() {
        // Word 7 is E60 + IV[7], so it is zero when E60 = 0xa41f32e7; here K[60] has joined it too.
        let program = Program::new(STD, Round::Whole);
        let k60 = crate::kernel::sha256d::K[60];
        assert_eq!(program.word7_constant.wrapping_neg().wrapping_add(k60), 0xa41f_32e7);
    }

    #[test]
    fn a_hash_has_its_part_of_what_headers_share() {
        let (hash, row) = (
            Operations { adds: 10, ..Operations::default() },
            Operations { adds: 6, ..Operations::default() },
        );
        let cost = Cost { hash, row, headers: 4, job_words: 0, lane_words: 0, row_words: 0 };
        assert_eq!(cost.per_hash(|of| of.adds).to_bits(), 11.5_f64.to_bits());
    }

    #[test]
    fn additions_are_counted_where_they_are_done() {
        // Two words of each time, by which the letters of a sum name them; a small letter is the second.
        let times = [Binding::Job, Binding::Row, Binding::Lane, Binding::Hash];
        let word =
            |binding| Recorded { operation: Operation::Input(Input::Nonce), binding, name: None };
        let recorded: Vec<Recorded> =
            times.into_iter().flat_map(|time| [word(time), word(time)]).collect();
        let count = |binding, terms: &str, constant| {
            let terms = terms.chars().map(|letter| "JjRrLlHh".find(letter).unwrap()).collect();
            additions(&recorded, binding, &Operation::Sum { terms, constant })
        };
        for (terms, constant, expected) in [
            ("Hh", 0, (1, 0)),
            ("Hh", 9, (2, 0)),
            ("HJj", 0, (1, 0)),
            ("HJj", 9, (1, 0)),
            ("HR", 0, (1, 0)),
            ("HRr", 0, (1, 1)),
            // The row takes what is the job's,
            ("HR", 9, (1, 1)),
            ("HRJj", 9, (1, 1)),
            ("HRrJ", 0, (1, 2)),
            // and where there is a version, the host.
            ("HRJL", 9, (2, 0)),
            ("HLl", 0, (1, 0)),
            ("HLlJj", 9, (1, 0)),
            ("HhRrLlJj", 9, (3, 1)),
        ] {
            assert_eq!(count(Binding::Hash, terms, constant), expected, "{terms} + {constant}");
        }
        assert_eq!(count(Binding::Row, "RrJ", 0), (0, 2));
        assert_eq!(count(Binding::Lane, "LlJ", 9), (0, 0));
        assert_eq!(count(Binding::Job, "Jj", 9), (0, 0));
        assert_eq!(additions(&recorded, Binding::Hash, &recorded[0].operation), (0, 0));
    }
}
