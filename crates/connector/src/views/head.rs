//! What stands before a view's query: `CREATE … VIEW name (columns) WITH (…) AS`.

use crate::expression::Dialect;
use crate::expression::lexer::Token;

pub(super) struct Head {
    pub(super) schema: Option<String>,
    pub(super) name: String,
    /// The names that the view gives its columns, where it says them.
    pub(super) columns: Option<Vec<String>>,
    /// Whether it reads with the rights of its caller.
    pub(super) is_invokers: bool,
    /// Where the query begins.
    pub(super) body: usize,
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    from: Dialect,
}

impl Head {
    pub(super) fn read(tokens: &[Token], from: Dialect) -> Result<Self, String> {
        let mut reader = Reader {
            tokens,
            at: 0,
            from,
        };
        reader
            .head()
            .unwrap_or_else(|| Err("its text does not begin as that of a view".to_owned()))
    }
}

impl Reader<'_> {
    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.at), Some(Token::Word(next)) if next == word);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let is_it =
            matches!(self.tokens.get(self.at), Some(Token::Symbol(next)) if *next == symbol);
        self.at += usize::from(is_it);
        is_it
    }

    fn name(&mut self) -> Option<String> {
        let name = match self.tokens.get(self.at)? {
            Token::Name(name) => name.clone(),
            Token::Word(word) if self.from == Dialect::Postgres => word.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(name)
    }

    fn head(&mut self) -> Option<Result<Head, String>> {
        if !self.takes_word("create") {
            return None;
        }
        if self.takes_word("materialized") {
            let why =
                "it keeps its rows, and there is none of that kind here: make a table, and fill it";
            return Some(Err(why.to_owned()));
        }
        let mut is_invokers = false;
        // Its algorithm, its definer, and whose rights it reads with.
        while !self.takes_word("view") {
            if self.takes_word("invoker") {
                is_invokers = true;
            } else {
                self.tokens.get(self.at)?;
                self.at += 1;
            }
        }
        let mut name = self.name()?;
        let mut schema = None;
        if self.takes(".") {
            schema = Some(std::mem::replace(&mut name, self.name()?));
        }
        let mut columns = None;
        if self.takes("(") {
            let mut names = vec![self.name()?];
            while self.takes(",") {
                names.push(self.name()?);
            }
            self.takes(")").then_some(())?;
            columns = Some(names);
        }
        if self.takes_word("with") {
            if !self.is_secured() {
                return Some(Err("it has options of its own".to_owned()));
            }
            is_invokers = true;
        }
        self.takes_word("as").then_some(())?;
        Some(Ok(Head {
            schema,
            name,
            columns,
            is_invokers,
            body: self.at,
        }))
    }

    /// `(security_invoker = true)` and nothing else.
    fn is_secured(&mut self) -> bool {
        self.takes("(")
            && self.takes_word("security_invoker")
            && self.takes("=")
            && (self.takes_word("true") || self.takes_word("on"))
            && self.takes(")")
    }
}
