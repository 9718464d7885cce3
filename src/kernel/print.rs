//! Prints a program as straight-line WGSL that a person can follow round by round.

use std::fmt::Write as _;

use super::program::{Operator, Program, Step, Value};
use super::recorder::Ternary;
use super::variant::{Bitwise, Forms, Rotate, Test};
use super::word::{Name, Pass, Role, Sigma};

/// `is_candidate`, with one line per round and word.
pub(super) fn is_candidate(program: &Program, forms: Forms, test: Test) -> String {
    let mut printer = Printer { program, forms, inline: Vec::new(), adds: 0, text: String::new() };
    // Writing to a String cannot fail.
    let _ = printer.body(test);
    printer.text
}

/// The names of the functions in `shaders/sha256.wgsl` that a body in these forms calls.
pub(super) fn functions(forms: Forms) -> Vec<String> {
    let sigmas =
        [Sigma::Big0, Sigma::Big1, Sigma::Small0, Sigma::Small1].map(|s| sigma_name(forms, s));
    let rotr = (forms.rotate != Rotate::Literal).then(|| "rotr".to_owned());
    let others = [Ternary::Ch, Ternary::Maj].map(|function| ternary_name(forms, function));
    rotr.into_iter().chain(sigmas).chain(others).collect()
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

fn ternary_name(forms: Forms, function: Ternary) -> String {
    let (name, form) = match function {
        Ternary::Ch => ("ch", forms.ch),
        Ternary::Maj => ("maj", forms.maj),
    };
    format!("{name}_{}", if form == Bitwise::Xor { "xor" } else { "or" })
}

/// The comment above the lines to which a word belongs.
fn heading(name: Name) -> String {
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

struct Printer<'p> {
    program: &'p Program,
    forms: Forms,
    /// The text of each step so far, or the name it was given.
    inline: Vec<String>,
    /// Additions so far, in hundredths of a multiply-add.
    adds: u32,
    text: String,
}

impl Printer<'_> {
    fn body(&mut self, test: Test) -> std::fmt::Result {
        writeln!(self.text, "fn is_candidate(w3: u32) -> bool {{")?;
        writeln!(self.text, "    // Job words: the host computes them once per job.")?;
        for (slot, formula) in self.program.plan.formulas().iter().enumerate() {
            let component = ["x", "y", "z", "w"][slot % 4];
            writeln!(
                self.text,
                "    let j{slot} = params.job[{}].{component}; // {formula}",
                slot / 4
            )?;
        }
        if self.forms.add.multiply_add_percent() > 0 {
            writeln!(self.text, "    let one = params.one;")?;
        }
        let mut section = String::new();
        for step in &self.program.steps {
            self.step(step, &mut section)?;
        }
        self.test(test)?;
        writeln!(self.text, "}}")
    }

    /// Prints a named step on a line of its own and keeps an unnamed one for its only reader.
    fn step(&mut self, step: &Step, section: &mut String) -> std::fmt::Result {
        let expression = self.expression(&step.operator);
        let name = match step.name {
            Some(name) => name.to_string(),
            // The second hash reads the digest of the first only by name, so what is left is small.
            None if step.uses == 1 && !matches!(step.operator, Operator::Sum(_)) => {
                self.inline.push(expression);
                return Ok(());
            }
            None => format!("x{}", self.inline.len()),
        };
        if let Some(heading) = step.name.map(heading)
            && *section != heading
        {
            writeln!(self.text, "\n    // {heading}")?;
            *section = heading;
        }
        self.binding(&name, &expression)?;
        self.inline.push(name);
        Ok(())
    }

    /// A `let` that goes on in further lines where a sum would make it too long to read.
    fn binding(&mut self, name: &str, expression: &str) -> std::fmt::Result {
        let mut line = format!("    let {name} = ");
        for (i, term) in expression.split(" + ").enumerate() {
            if i > 0 && line.len() + term.len() > LINE {
                writeln!(self.text, "{line}")?;
                line.clear();
                line.push_str("        + ");
            } else if i > 0 {
                line.push_str(" + ");
            }
            line.push_str(term);
        }
        writeln!(self.text, "{line};")
    }

    fn test(&mut self, test: Test) -> std::fmt::Result {
        let constant = self.program.word7_constant;
        let mut terms = self.program.word7.clone();
        writeln!(
            self.text,
            "\n    // Digest word 7 is e of round 60 plus a constant; the rest of the second hash is dead."
        )?;
        match test {
            Test::Word7 => {
                let sum = self.sum(&terms);
                writeln!(
                    self.text,
                    "    // It is zero when the sum of the other terms is minus the constant."
                )?;
                self.binding("rest", &sum)?;
                writeln!(self.text, "    return rest == {:#010x}u;", constant.wrapping_neg())
            }
            Test::Mask => {
                terms.insert(0, Value::Constant(constant));
                let sum = self.sum(&terms);
                self.binding("digest7", &sum)?;
                writeln!(self.text, "    return (digest7 & params.filter_mask) == 0u;")
            }
        }
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
            Value::Slot(slot) => format!("j{slot}"),
            Value::Nonce => "w3".to_owned(),
            Value::Step(step) => self.inline[step].clone(),
        }
    }
}
