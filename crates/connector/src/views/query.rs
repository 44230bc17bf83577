//! Queries in the SQL of the target.

use std::collections::BTreeSet;

use whimbrel_core::TableName;

use super::ast::{Expr, From, On, Order, Query, Select, Union};
use super::class::{Class, common};
use super::groups::{has_aggregate, is_constant, with_names};
use super::reads::Reads;
use super::shapes::{Column, Origin, Shape, Shapes};
use super::{LIMITS, TEXTS_AGREE};
use crate::expression::Dialect;

pub(super) type Done<T> = Result<T, String>;

/// A value in the target's SQL, in parentheses where it needs some.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) sql: String,
    pub(super) class: Class,
}

impl Typed {
    pub(super) fn new(sql: impl Into<String>, class: Class) -> Self {
        Self {
            sql: sql.into(),
            class,
        }
    }
}

/// A table, view or query that a query reads, under its name there.
struct Relation {
    alias: String,
    columns: Vec<Column>,
    key: Vec<String>,
    /// The table that it is, by its name at the source.
    table: Option<TableName>,
}

/// A column of a result: its value, and its name quoted.
pub(super) struct Output {
    pub(super) value: Typed,
    pub(super) name: String,
    quoted: String,
}

/// What has been found on the way through a view.
pub(super) struct Converter<'a> {
    pub(super) from: Dialect,
    pub(super) shapes: &'a Shapes,
    /// Where names without a schema are.
    pub(super) schema: &'a str,
    /// What each query reads, from the outermost.
    frames: Vec<Vec<Relation>>,
    /// What may give other rows at the target.
    pub(super) differs: BTreeSet<String>,
    /// What is not the same, and changes no row.
    pub(super) notes: BTreeSet<&'static str>,
    pub(super) reads: Reads,
}

impl<'a> Converter<'a> {
    pub(super) fn new(from: Dialect, shapes: &'a Shapes, schema: &'a str) -> Self {
        Self {
            from,
            shapes,
            schema,
            frames: Vec::new(),
            differs: BTreeSet::new(),
            notes: BTreeSet::new(),
            reads: Reads::default(),
        }
    }

    /// Whether the target is PostgreSQL.
    pub(super) fn is_into_postgres(&self) -> bool {
        self.from == Dialect::MySql
    }

    pub(super) fn query(&mut self, query: &Query) -> Done<(String, Vec<Output>)> {
        let is_alone = query.others.is_empty();
        if !is_alone && (!query.order.is_empty() || query.limit.is_some()) {
            return Err("it orders what UNION puts together".to_owned());
        }
        let (mut sql, mut outputs) = self.select(&query.first, &query.order)?;
        for (how, select) in &query.others {
            let (other, more) = self.select(select, &[])?;
            self.unite(&mut outputs, &more, *how)?;
            let word = match how {
                Union::All => "UNION ALL",
                Union::Distinct => "UNION",
            };
            sql = format!("{sql} {word} {other}");
        }
        if let Some(limit) = &query.limit {
            self.differs.insert(LIMITS.to_owned());
            sql = format!("{sql} LIMIT {}", limit.rows);
            if let Some(behind) = &limit.behind {
                sql = format!("{sql} OFFSET {behind}");
            }
        }
        Ok((sql, outputs))
    }

    fn unite(&mut self, outputs: &mut [Output], more: &[Output], how: Union) -> Done<()> {
        if outputs.len() != more.len() {
            return Err("the parts of its UNION differ in columns".to_owned());
        }
        for (output, other) in outputs.iter_mut().zip(more) {
            let class = common(output.value.class, other.value.class);
            output.value.class = class.ok_or_else(|| {
                format!(
                    "its UNION puts {} and {} into one column",
                    output.value.class.named(),
                    other.value.class.named()
                )
            })?;
            if how == Union::Distinct {
                self.agree(output.value.class)?;
            }
        }
        Ok(())
    }

    /// Equal values become one: what is equal must be so on both.
    fn agree(&mut self, class: Class) -> Done<()> {
        match class.agrees() {
            Some(true) => Ok(()),
            Some(false) => {
                self.differs.insert(TEXTS_AGREE.to_owned());
                Ok(())
            }
            None => {
                Err("it makes one of equal values of a type that is kept otherwise here".to_owned())
            }
        }
    }

    fn select(&mut self, select: &Select, order: &[Order]) -> Done<(String, Vec<Output>)> {
        self.frames.push(Vec::new());
        let done = self.select_within(select, order);
        self.frames.pop();
        done
    }

    fn select_within(&mut self, select: &Select, order: &[Order]) -> Done<(String, Vec<Output>)> {
        let mut from = Vec::new();
        for source in &select.from {
            from.push(self.source(source)?);
        }
        let mut tail = String::new();
        if !from.is_empty() {
            tail = format!("{tail} FROM {}", from.join(", "));
        }
        if let Some(filter) = &select.filter {
            tail = format!("{tail} WHERE {}", self.condition(filter)?);
        }
        if !select.group.is_empty() {
            tail = format!("{tail} GROUP BY {}", self.group(&select.group)?);
        }
        let outputs = self.outputs(select)?;
        if let Some(having) = &select.having {
            let items = select.items.iter().map(|item| &item.value);
            if select.group.is_empty() && !items.chain([having]).any(has_aggregate) {
                return Err("it has HAVING without a group, which is a condition on rows to one server and makes one row of all to the other".to_owned());
            }
            let having = match self.from {
                Dialect::MySql => with_names(having, select),
                Dialect::Postgres => having.clone(),
            };
            tail = format!("{tail} HAVING {}", self.condition(&having)?);
        }
        if !order.is_empty() {
            tail = format!("{tail} ORDER BY {}", self.order(order, select, &outputs)?);
        }
        let items: Vec<String> = outputs
            .iter()
            .map(|output| format!("{} AS {}", output.value.sql, output.quoted))
            .collect();
        let distinct = if select.is_distinct { "DISTINCT " } else { "" };
        let sql = format!("SELECT {distinct}{}{tail}", items.join(", "));
        Ok((sql, outputs))
    }

    fn outputs(&mut self, select: &Select) -> Done<Vec<Output>> {
        let mut outputs: Vec<Output> = Vec::with_capacity(select.items.len());
        for (at, item) in select.items.iter().enumerate() {
            let value = self.value(&item.value)?;
            let name = match &item.name {
                Some(name) => name.clone(),
                None => format!("column {}", at + 1),
            };
            if select.is_distinct {
                self.agree(value.class)?;
            }
            if let Some(why) = self.refuses_name(&name) {
                return Err(why);
            }
            let is_taken = |output: &Output| output.name.to_lowercase() == name.to_lowercase();
            if outputs.iter().any(is_taken) {
                return Err(format!("two of its columns have the name {name}"));
            }
            outputs.push(Output {
                value,
                quoted: self.quoted(&name),
                name,
            });
        }
        Ok(outputs)
    }

    /// A table whose key is among what rows are put together by gives nothing else to put them together by.
    fn group(&mut self, group: &[Expr]) -> Done<String> {
        let mut parts = Vec::with_capacity(group.len());
        for value in group {
            if is_constant(value) {
                return Err("it puts rows together by a constant".to_owned());
            }
            let typed = self.value(value)?;
            if !self.is_told_by_key(value, group) {
                self.agree(typed.class)?;
            }
            parts.push(typed.sql);
        }
        Ok(parts.join(", "))
    }

    fn is_told_by_key(&self, value: &Expr, group: &[Expr]) -> bool {
        let Some((relation, _)) = self.relation_of(value) else {
            return false;
        };
        let has = |name: &String| {
            group.iter().any(|other| {
                let found = self.relation_of(other);
                found.is_some_and(|(of, column)| {
                    std::ptr::eq(of, relation)
                        && column.source == *name
                        && column.class.agrees() == Some(true)
                })
            })
        };
        !relation.key.is_empty() && relation.key.iter().all(has)
    }

    fn relation_of(&self, value: &Expr) -> Option<(&Relation, &Column)> {
        match value {
            Expr::Column { table, name } => self.find(table.as_deref(), name).ok(),
            _ => None,
        }
    }

    fn order(&mut self, order: &[Order], select: &Select, outputs: &[Output]) -> Done<String> {
        let mut parts = Vec::with_capacity(order.len());
        for one in order {
            let (sql, class) = match output_of(&one.value, select, outputs)? {
                // What is made one can be ordered by what is in it alone.
                Some(output) if select.is_distinct => (output.quoted.clone(), output.value.class),
                Some(output) => (output.value.sql.clone(), output.value.class),
                None => {
                    let typed = self.value(&one.value)?;
                    (typed.sql, typed.class)
                }
            };
            if matches!(
                class,
                Class::Text(_) | Class::Enum | Class::Plain(_) | Class::Opaque
            ) {
                self.notes.insert(super::ORDERS_TEXTS);
            }
            parts.push(self.ordered(&sql, one));
        }
        Ok(parts.join(", "))
    }

    /// With NULLs where the source has them: first in MySQL, and last in PostgreSQL, as the largest.
    pub(super) fn ordered(&self, sql: &str, order: &Order) -> String {
        let desc = if order.is_descending { " DESC" } else { "" };
        if self.is_into_postgres() {
            let place = if order.is_descending { "LAST" } else { "FIRST" };
            return format!("{sql}{desc} NULLS {place}");
        }
        let are_first = order.nulls_first.unwrap_or(order.is_descending);
        let not = if are_first { " NOT" } else { "" };
        format!("{sql} IS{not} NULL, {sql}{desc}")
    }

    fn source(&mut self, source: &From) -> Done<String> {
        match source {
            From::Table {
                schema,
                name,
                alias,
            } => {
                let schema = schema.as_deref().unwrap_or(self.schema);
                let name = TableName::new(schema, name);
                let shape = self.shapes.find(schema, &name.name)?.clone();
                let sql = self.quoted_table(&shape.name);
                let quoted = self.quoted(alias);
                let Shape { columns, key, .. } = shape;
                let table = match shape.origin {
                    Origin::View => {
                        self.reads.view(name);
                        None
                    }
                    Origin::Table { leaves_out_rows } => {
                        if leaves_out_rows {
                            self.differs
                                .insert(format!("a filter leaves rows of {name} out"));
                        }
                        self.reads.table(&name, &shape.name);
                        Some(name)
                    }
                };
                self.add(Relation {
                    alias: alias.clone(),
                    columns,
                    key,
                    table,
                })?;
                Ok(format!("{sql} AS {quoted}"))
            }
            From::Derived { query, alias } => {
                // It sees nothing of what is around it.
                let around = std::mem::take(&mut self.frames);
                let done = self.query(query);
                self.frames = around;
                let (sql, outputs) = done?;
                let quoted = self.quoted(alias);
                self.add(Relation {
                    alias: alias.clone(),
                    columns: columns_of(&outputs),
                    key: Vec::new(),
                    table: None,
                })?;
                Ok(format!("({sql}) AS {quoted}"))
            }
            From::Join {
                how,
                left,
                right,
                on,
            } => {
                let begin = self.frames.last().map_or(0, Vec::len);
                let left = self.source(left)?;
                let middle = self.frames.last().map_or(0, Vec::len);
                let right = self.source(right)?;
                let on = match on {
                    On::Condition(on) => format!(" ON {}", self.condition(on)?),
                    On::Using(names) => format!(" ON {}", self.using(names, [begin, middle])?),
                    On::All => String::new(),
                };
                Ok(format!("({left} {how} {right}{on})"))
            }
        }
    }

    /// `USING` names columns of both sides. `places` are where the relations of either side begin in the query's.
    fn using(&mut self, names: &[String], places: [usize; 2]) -> Done<String> {
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            let of = |relations: &[Relation]| {
                let has = |one: &&Relation| one.columns.iter().any(|column| column.source == *name);
                let mut found = relations.iter().filter(has);
                match (found.next(), found.next()) {
                    (Some(found), None) => Ok(Expr::Column {
                        table: Some(found.alias.clone()),
                        name: name.clone(),
                    }),
                    _ => Err(format!(
                        "it joins by {name}, which more than one table or none has"
                    )),
                }
            };
            let frame = self.frames.last().map_or(&[][..], Vec::as_slice);
            let (left, right) = (of(&frame[places[0]..places[1]])?, of(&frame[places[1]..])?);
            let (left, right) = self.compared(&left, &right, false)?;
            parts.push(format!("{left} = {right}"));
        }
        Ok(parts.join(" AND "))
    }

    fn add(&mut self, relation: Relation) -> Done<()> {
        let alias = &relation.alias;
        if let Some(why) = self.refuses_name(alias) {
            return Err(why);
        }
        let frame = self.frames.last_mut();
        let frame = frame.ok_or_else(|| "it reads nothing".to_owned())?;
        let is_taken = |known: &Relation| known.alias.to_lowercase() == alias.to_lowercase();
        if frame.iter().any(is_taken) {
            return Err(format!("it reads two tables under the name {alias}"));
        }
        frame.push(relation);
        Ok(())
    }

    /// Looks a column up, in the innermost query first.
    fn find(&self, table: Option<&str>, name: &str) -> Done<(&Relation, &Column)> {
        for frame in self.frames.iter().rev() {
            let of_table = frame
                .iter()
                .filter(|relation| table.is_none_or(|table| relation.alias == table));
            let mut found = of_table.filter_map(|relation| {
                let mut columns = relation.columns.iter();
                let column = columns.find(|column| column.source == name)?;
                Some((relation, column))
            });
            match (found.next(), found.next()) {
                (Some(found), None) => return Ok(found),
                (Some(_), Some(_)) => return Err(format!("more than one table of it has {name}")),
                (None, _)
                    if table.is_some_and(|table| frame.iter().any(|of| of.alias == table)) =>
                {
                    return Err(format!(
                        "its column {name} is not known, or not at the target"
                    ));
                }
                (None, _) => {}
            }
        }
        Err(format!(
            "its text names {name}, which is no column of what it reads"
        ))
    }

    pub(super) fn column(&mut self, table: Option<&str>, name: &str) -> Done<Typed> {
        if table.is_none() && self.from == Dialect::MySql {
            // It prints no column without its table: that is the name of one in the result, or of a variable.
            return Err(format!("its text names {name} without a table"));
        }
        let (relation, column) = self.find(table, name)?;
        let target = column.target.as_deref();
        let target = target.ok_or_else(|| format!("its column {name} is not at the target"))?;
        let sql = format!("{}.{}", self.quoted(&relation.alias), self.quoted(target));
        let typed = Typed::new(sql, column.class);
        let changed = column.is_changed.then(|| {
            format!("the values of its column {name} arrive as others, by a rule or a setting of the task")
        });
        let read = relation.table.clone().zip(column.native.clone());
        if let Some((table, native)) = read {
            let target = target.to_owned();
            self.reads.column(&table, target, native);
        }
        self.differs.extend(changed);
        Ok(typed)
    }
}

/// What others see of a result.
pub(super) fn columns_of(outputs: &[Output]) -> Vec<Column> {
    let column = |output: &Output| Column {
        source: output.name.clone(),
        target: Some(output.name.clone()),
        class: output.value.class,
        native: None,
        is_changed: false,
    };
    outputs.iter().map(column).collect()
}

/// The column of the result that an order names, by its name or its place.
fn output_of<'o>(value: &Expr, select: &Select, outputs: &'o [Output]) -> Done<Option<&'o Output>> {
    match value {
        Expr::Number(place) => {
            let place: Option<usize> = place.parse().ok();
            let output = place.and_then(|place| outputs.get(place.checked_sub(1)?));
            output
                .map(Some)
                .ok_or_else(|| "it is ordered by a number".to_owned())
        }
        Expr::Column { table: None, name } => {
            Ok(outputs.iter().find(|output| output.name == *name))
        }
        _ => {
            let mut both = select.items.iter().zip(outputs);
            let found = both.find(|(item, _)| item.value == *value);
            Ok(found.map(|(_, output)| output))
        }
    }
}
