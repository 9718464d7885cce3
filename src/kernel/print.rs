//! Prints a program as WGSL that a person can follow round by round.

use std::fmt::{self, Display, Write as _};

use super::program::{Label, Operator, Program, Step, Value};
use super::recorder::{Binding, Ternary};
use super::variant::{Ch, Forms, Layout, Maj, Rotate, Test};
use super::word::{Pass, Role, Sigma};

/// The function that a layout's entry point calls: `test_nonce` (`shaders/scan.wgsl`), or `test_header`
/// (`shaders/verlane.wgsl`). It reports the hits itself.
pub(super) fn test(program: &Program, layout: Layout, forms: Forms, test: Test) -> String {
    let mut printer = Printer::new(program, forms);
    let written = match layout {
        Layout::Std => printer.std(test),
        Layout::Boost { headers, looped } => printer.boost(headers, looped, test),
        Layout::Verlane(_) => printer.verlane(test),
    };
    printer.done(written)
}

/// The function `fill_row`, which computes what the hashes of one nonce share, for `shaders/rows.wgsl`.
pub(super) fn fill_row(program: &Program, forms: Forms) -> String {
    let mut printer = Printer::new(program, forms);
    let written = printer.fill_row();
    printer.done(written)
}

/// Vectors of four words in a row of the table: what hashes read of a nonce, and one word more.
pub(super) fn row_vectors(program: &Program) -> usize {
    (program.row_words.len() + 1).div_ceil(4)
}

fn sigma_name(forms: Forms, function: Sigma) -> String {
    let name = match function {
        Sigma::Big0 => "bsig0",
        Sigma::Big1 => "bsig1",
        Sigma::Small0 => "ssig0",
        Sigma::Small1 => "ssig1",
    };
    let form = match forms.rotate {
        Rotate::Literal => "literal",
        Rotate::Function => "function",
        Rotate::Uniform => "uniform",
    };
    format!("{name}_{form}")
}

fn ternary_name(forms: Forms, function: Ternary) -> &'static str {
    match (function, forms.ch, forms.maj) {
        (Ternary::Ch, Ch::Xor, _) => "ch_xor",
        (Ternary::Ch, Ch::Or, _) => "ch_or",
        (Ternary::Maj, _, Maj::Xor) => "maj_xor",
        (Ternary::Maj, _, Maj::Or) => "maj_or",
        (Ternary::Maj, _, Maj::Share) => "maj_share",
    }
}

/// The comment above the lines to which a word belongs.
fn heading(label: Label) -> String {
    let (Label::Word(name) | Label::RowPart(name) | Label::WithoutCh(name)) = label;
    match (name.pass, name.role, name.round) {
        (Pass::First, _, round) => format!("Round {round} of the first hash."),
        (Pass::Second, Role::W, 0..=7) => {
            "The digest of the first hash is the message of the second.".to_owned()
        }
        (Pass::Second, _, round) => format!("Round {round} of the second hash."),
    }
}

/// Longest line of a body, but for a comment.
const LINE: usize = 110;

/// Words of a table lie in vectors of four.
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

struct Printer<'p> {
    program: &'p Program,
    forms: Forms,
    /// The text of each step so far, or the name it was given.
    values: Vec<String>,
    /// Additions so far, in hundredths of a multiply-add.
    adds: u32,
    indent: usize,
    text: String,
}

impl<'p> Printer<'p> {
    fn new(program: &'p Program, forms: Forms) -> Self {
        let values = vec![String::new(); program.steps.len()];
        Self { program, forms, values, adds: 0, indent: 0, text: String::new() }
    }

    fn done(self, written: fmt::Result) -> String {
        debug_assert!(written.is_ok() && self.indent == 0, "writing to a String cannot fail");
        self.text
    }

    /// One nonce of one header.
    fn std(&mut self, test: Test) -> fmt::Result {
        self.open("fn test_nonce(nonce: u32, w3: u32) {")?;
        self.job_words(&[Binding::Hash])?;
        self.steps(Binding::Hash)?;
        self.test(test, "0u", "nonce")?;
        self.close()
    }

    /// One nonce of several headers, one after the other.
    fn boost(&mut self, headers: u8, looped: bool, test: Test) -> fmt::Result {
        self.open("fn test_nonce(nonce: u32, w3: u32) {")?;
        self.job_words(&[Binding::Row, Binding::Hash])?;
        self.steps(Binding::Row)?;
        if looped {
            self.open("for (var header = 0u; header < params.headers; header++) {")?;
            self.lane_words("header")?;
            self.steps(Binding::Hash)?;
            self.test(test, "header", "nonce")?;
            self.close()?;
        } else {
            for header in 0..headers {
                let header = format!("{header}u");
                self.open("{")?;
                self.lane_words(&header)?;
                self.steps(Binding::Hash)?;
                self.test(test, &header, "nonce")?;
                self.close()?;
            }
        }
        self.close()
    }

    /// Some nonces of one header, after what the entry point has to know of the table.
    fn verlane(&mut self, test: Test) -> fmt::Result {
        let (vectors, last) = (row_vectors(self.program), self.program.row_words.len());
        self.line(format_args!("const ROW_VECTORS: u32 = {vectors}u;"))?;
        self.line("")?;
        self.line("// The last word of a row: how many rows there are from it on.")?;
        self.open("fn rows_left(row: u32) -> u32 {")?;
        let (vector, component) = (last / 4, COMPONENTS[last % 4]);
        self.line(format_args!("return rows[row * ROW_VECTORS + {vector}u].{component};"))?;
        self.close()?;
        self.line("")?;
        self.open("fn test_header(header: u32, first: u32, end: u32) {")?;
        self.job_words(&[Binding::Hash])?;
        self.lane_words("header")?;
        self.open("for (var row = first; row < end; row++) {")?;
        self.row_words()?;
        self.steps(Binding::Hash)?;
        self.test(test, "header", "params.start + params.count - rows_left(row)")?;
        self.close()?;
        self.close()
    }

    fn fill_row(&mut self) -> fmt::Result {
        self.open("fn fill_row(row: u32, w3: u32) {")?;
        self.job_words(&[Binding::Row])?;
        self.steps(Binding::Row)?;
        self.line("")?;
        let words = self.program.row_words.iter().map(|word| self.value(*word));
        let words: Vec<String> = words.chain(["params.count - row".to_owned()]).collect();
        let vectors = row_vectors(self.program);
        for (index, words) in words.chunks(4).enumerate() {
            let mut words = words.to_vec();
            words.resize(4, "0u".to_owned());
            let words = words.join(", ");
            self.line(format_args!("rows[row * {vectors}u + {index}u] = vec4<u32>({words});"))?;
        }
        self.close()
    }

    /// The job's words that steps of these binding times read.
    fn job_words(&mut self, readers: &[Binding]) -> fmt::Result {
        let program = self.program;
        let mut read = vec![false; program.job.slots()];
        let steps = program.steps.iter().filter(|step| readers.contains(&step.binding));
        for value in steps.flat_map(|step| step.operator.operands()).chain(program.word7.clone()) {
            if let Value::Job(slot) = value {
                read[slot] = true;
            }
        }
        if read.contains(&true) {
            self.line("// Words that the host computes once per job.")?;
        }
        let formulas = program.job.formulas().iter().enumerate();
        for (slot, formula) in formulas.filter(|(slot, _)| read[*slot]) {
            let (vector, component) = (slot / 4, COMPONENTS[slot % 4]);
            self.line(format_args!(
                "let j{slot} = params.job[{vector}].{component}; // {formula}"
            ))?;
        }
        if self.forms.add.multiply_add_percent() > 0 {
            self.line("let one = params.one;")?;
        }
        Ok(())
    }

    /// The version's words, from the host's table.
    fn lane_words(&mut self, header: &str) -> fmt::Result {
        let formulas = self.program.lane.formulas();
        self.line("// Words that the host computes once per version.")?;
        self.vectors("lane", header, formulas.len().div_ceil(4))?;
        for (slot, formula) in formulas.iter().enumerate() {
            let (vector, component) = (slot / 4, COMPONENTS[slot % 4]);
            self.line(format_args!("let l{slot} = lane_{vector}.{component}; // {formula}"))?;
        }
        Ok(())
    }

    /// The words that all hashes of a nonce share, from the table that `fill_row` made.
    fn row_words(&mut self) -> fmt::Result {
        let words = &self.program.row_words;
        self.line("// Words that are the same for every version.")?;
        self.vectors("row", "row", row_vectors(self.program))?;
        for (index, word) in words.iter().enumerate() {
            let name = match word {
                Value::Step(step) => {
                    let name = name(&self.program.steps[*step], *step);
                    self.values[*step].clone_from(&name);
                    name
                }
                word => self.value(*word),
            };
            let (vector, component) = (index / 4, COMPONENTS[index % 4]);
            self.line(format_args!("let {name} = row_{vector}.{component};"))?;
        }
        Ok(())
    }

    /// One entry of the table `lanes` or `rows`.
    fn vectors(&mut self, table: &str, index: &str, vectors: usize) -> fmt::Result {
        for vector in 0..vectors {
            self.line(format_args!(
                "let {table}_{vector} = {table}s[{index} * {vectors}u + {vector}u];"
            ))?;
        }
        Ok(())
    }

    /// The steps of one binding time, with a line for each that has a name.
    fn steps(&mut self, binding: Binding) -> fmt::Result {
        let mut section = String::new();
        let steps = self.program.steps.iter().enumerate();
        for (index, step) in steps.filter(|(_, step)| step.binding == binding) {
            let expression = self.expression(&step.operator);
            // The second hash reads the digest of the first only by name, so what is left is small.
            let is_inlined = step.label.is_none()
                && step.read_once
                && !matches!(step.operator, Operator::Sum(_));
            if is_inlined {
                self.values[index] = expression;
                continue;
            }
            if let Some(heading) = step.label.map(heading)
                && section != heading
            {
                self.line("")?;
                self.line(format_args!("// {heading}"))?;
                section = heading;
            }
            let name = name(step, index);
            self.binding(&name, &expression)?;
            self.values[index] = name;
        }
        Ok(())
    }

    /// A `let` that goes on in further lines where a sum would make it too long to read.
    fn binding(&mut self, name: &str, expression: &str) -> fmt::Result {
        let mut line = format!("let {name} = ");
        let mut deeper = 0;
        for (i, term) in expression.split(" + ").enumerate() {
            if i > 0 && 4 * (self.indent + deeper) + line.len() + term.len() > LINE {
                self.indent += deeper;
                let written = self.line(&line);
                self.indent -= deeper;
                written?;
                deeper = 1;
                line.clear();
                line.push_str("+ ");
            } else if i > 0 {
                line.push_str(" + ");
            }
            line.push_str(term);
        }
        line.push(';');
        self.indent += deeper;
        let written = self.line(line);
        self.indent -= deeper;
        written
    }

    fn test(&mut self, test: Test, header: &str, nonce: &str) -> fmt::Result {
        let constant = self.program.word7_constant;
        let mut terms = self.program.word7.clone();
        self.line("")?;
        self.line(
            "// Digest word 7 is e of round 60 plus a constant; the rest of the second hash is dead.",
        )?;
        match test {
            Test::Word7 => {
                let sum = self.sum(&terms);
                self.line("// It is zero when the sum of the other terms is minus the constant.")?;
                self.binding("rest", &sum)?;
                self.open(format_args!("if rest == {:#010x}u {{", constant.wrapping_neg()))?;
            }
            Test::Mask => {
                terms.insert(0, Value::Constant(constant));
                let sum = self.sum(&terms);
                self.binding("digest7", &sum)?;
                self.open("if (digest7 & params.filter_mask) == 0u {")?;
            }
        }
        self.line(format_args!("report_hit({header}, {nonce});"))?;
        self.close()
    }

    fn expression(&mut self, operator: &Operator) -> String {
        match operator {
            Operator::Sigma(function, x) => {
                format!("{}({})", sigma_name(self.forms, *function), self.value(*x))
            }
            Operator::Ternary(function, words) => {
                let words = words.map(|word| self.value(word));
                format!("{}({})", ternary_name(self.forms, *function), words.join(", "))
            }
            Operator::Sum(terms) => self.sum(terms),
        }
    }

    /// Adds from left to right, a share of the additions as multiply-adds.
    fn sum(&mut self, terms: &[Value]) -> String {
        let mut text = String::new();
        for term in terms {
            let term = self.value(*term);
            if text.is_empty() {
                text = term;
                continue;
            }
            self.adds += u32::from(self.forms.add.multiply_add_percent());
            if self.adds >= 100 {
                self.adds -= 100;
                let factor = if text.contains(" + ") { format!("({text})") } else { text };
                text = format!("{factor} * one + {term}");
            } else {
                text = format!("{text} + {term}");
            }
        }
        text
    }

    fn value(&self, value: Value) -> String {
        match value {
            Value::Constant(constant) => format!("{constant:#010x}u"),
            Value::Job(slot) => format!("j{slot}"),
            Value::Lane(slot) => format!("l{slot}"),
            Value::Nonce => "w3".to_owned(),
            Value::Step(step) => self.values[step].clone(),
        }
    }

    /// Begins a block.
    fn open(&mut self, line: impl Display) -> fmt::Result {
        self.line(line)?;
        self.indent += 1;
        Ok(())
    }

    fn close(&mut self) -> fmt::Result {
        self.indent -= 1;
        self.line("}")
    }

    fn line(&mut self, line: impl Display) -> fmt::Result {
        let line = line.to_string();
        let indent = if line.is_empty() { 0 } else { 4 * self.indent };
        writeln!(self.text, "{:indent$}{line}", "")
    }
}

/// What a step that has a line of its own is called.
fn name(step: &Step, index: usize) -> String {
    match step.label {
        Some(Label::Word(name)) => name.to_string(),
        Some(Label::RowPart(name)) => format!("row_{name}"),
        Some(Label::WithoutCh(name)) => format!("{name}_without_ch"),
        None => format!("x{index}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::recorder::{Binding, Bindings};
    use crate::kernel::variant::Round;

    #[test]
    fn a_row_has_room_for_its_words_and_one_more() {
        let bindings = Bindings { midstate: Binding::Lane, nonce: Binding::Row };
        let mut program = Program::new(bindings, Round::Whole);
        for (words, vectors) in [(5, 2), (4, 2), (3, 1), (0, 1)] {
            program.row_words.truncate(words);
            assert_eq!(program.row_words.len(), words);
            assert_eq!(row_vectors(&program), vectors, "{words}");
        }
    }
}
