//! From recorded routers to an [`App`]: prefixes joined, layers and states inherited, conflicts found.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use http::Method;
use http::header::HeaderValue;

use super::app::{App, Endpoint, Fallback, Literals, Route, answer_not_found, answer_unhandled};
use super::{Child, MethodRouter, Named, RouteError, Router};
use crate::context::StateMap;
use crate::middleware::Layer;
use crate::request::PARAMS_MAX;

/// The methods that `Allow` names for a route that answers any.
const ANY_METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];

/// What a router hands down to those inside it.
struct Scope {
    /// Empty at the root.
    prefix: String,
    layers: Rc<[Layer]>,
    states: Rc<StateMap>,
    fallback: ScopedFallback,
}

/// The fallback that holds in a scope, with the states of the router that has it.
#[derive(Clone)]
struct ScopedFallback {
    named: Named,
    states: Rc<StateMap>,
    /// Whether the router of the scope has it itself, or inherits it.
    is_own: bool,
}

/// The endpoints of one pattern while they are collected.
struct Draft {
    pattern: Rc<str>,
    names: Rc<[Box<str>]>,
    endpoints: Vec<(Option<Method>, Rc<Endpoint>)>,
    /// Layers and states of the router that had the pattern first: they surround the automatic answers.
    layers: Rc<[Layer]>,
    states: Rc<StateMap>,
}

#[derive(Default)]
struct Builder {
    drafts: Vec<Draft>,
    by_pattern: HashMap<Rc<str>, usize>,
    /// With whether the fallback is its router's own.
    fallbacks: Vec<(bool, Fallback)>,
}

pub(super) fn build(router: Router) -> Result<App, RouteError> {
    let not_found = Named::new(answer_not_found);
    let outside = Scope {
        prefix: String::new(),
        layers: Rc::from([]),
        states: Rc::default(),
        fallback: ScopedFallback { named: not_found, states: Rc::default(), is_own: false },
    };
    let mut builder = Builder::default();
    let root = outside.enter(&router, String::new())?;
    builder.add_fallback(&root)?;
    builder.add_router(router, &root)?;
    builder.finish(&root)
}

impl Scope {
    /// The scope of `router`, which lies inside this one.
    fn enter(&self, router: &Router, prefix: String) -> Result<Scope, RouteError> {
        let layers = self.layers.iter().chain(&router.layers).cloned().collect();
        let mut states = router.states.clone();
        states.inherit(&self.states);
        let states = Rc::new(states);
        let fallback = match router.fallbacks.as_slice() {
            [] => ScopedFallback { is_own: false, ..self.fallback.clone() },
            [own] => {
                let mut seen = own.states.clone().unwrap_or_default();
                seen.inherit(&states);
                ScopedFallback { named: own.named.clone(), states: Rc::new(seen), is_own: true }
            }
            [_, _, ..] => return Err(RouteError::TwoFallbacks { prefix }),
        };
        Ok(Scope { prefix, layers, states, fallback })
    }

    fn endpoint(&self, named: Named, pattern: Option<&Rc<str>>) -> Rc<Endpoint> {
        endpoint(named, &self.layers, &self.states, pattern)
    }
}

fn endpoint(
    named: Named,
    layers: &Rc<[Layer]>,
    states: &Rc<StateMap>,
    pattern: Option<&Rc<str>>,
) -> Rc<Endpoint> {
    let Named { handler, name } = named;
    Rc::new(Endpoint {
        handler,
        layers: Rc::clone(layers),
        states: Rc::clone(states),
        pattern: pattern.cloned(),
        label: pattern.map_or(name, |pattern| intern(pattern)),
        name,
    })
}

thread_local! {
    static LABELS: RefCell<HashSet<&'static str>> = RefCell::default();
}

/// A text that lives as long as the program, once for each text: routes are few, and reports about their fibers may come at
/// any time, also from a signal handler.
fn intern(text: &str) -> &'static str {
    LABELS.with_borrow_mut(|labels| {
        labels.get(text).copied().unwrap_or_else(|| {
            let label: &'static str = Box::leak(text.into());
            labels.insert(label);
            label
        })
    })
}

impl Builder {
    fn add_router(&mut self, router: Router, scope: &Scope) -> Result<(), RouteError> {
        for (path, methods) in router.routes {
            self.add_route(&path, methods, scope)?;
        }
        for child in router.children {
            match child {
                Child::Merged(router) => {
                    let inner = scope.enter(&router, scope.prefix.clone())?;
                    self.add_router(router, &inner)?;
                }
                Child::Nested(prefix, router) => {
                    check_prefix(&prefix)?;
                    let inner = scope.enter(&router, join(&scope.prefix, &prefix))?;
                    self.add_fallback(&inner)?;
                    self.add_router(router, &inner)?;
                }
            }
        }
        Ok(())
    }

    fn add_route(&mut self, path: &str, methods: MethodRouter, scope: &Scope) -> Result<(), RouteError> {
        if !path.starts_with('/') {
            return Err(invalid(path, "a pattern begins with /"));
        }
        let pattern: Rc<str> = join(&scope.prefix, path).into();
        let index = match self.by_pattern.get(&pattern) {
            Some(&index) => index,
            None => {
                let names = param_names(&pattern)?;
                self.by_pattern.insert(Rc::clone(&pattern), self.drafts.len());
                self.drafts.push(Draft {
                    pattern: Rc::clone(&pattern),
                    names,
                    endpoints: Vec::new(),
                    layers: Rc::clone(&scope.layers),
                    states: Rc::clone(&scope.states),
                });
                self.drafts.len() - 1
            }
        };
        let endpoints = &mut self.drafts[index].endpoints;
        for (method, named) in methods.handlers {
            if endpoints.iter().any(|(held, _)| *held == method) {
                return Err(RouteError::Duplicate { route: pattern.as_ref().to_owned(), method });
            }
            endpoints.push((method, scope.endpoint(named, Some(&pattern))));
        }
        Ok(())
    }

    /// Adds what answers the unmatched paths of `scope`. Two routers may be nested under one prefix: the one that has
    /// a fallback of its own answers, or else the first.
    fn add_fallback(&mut self, scope: &Scope) -> Result<(), RouteError> {
        let ScopedFallback { named, states, is_own } = scope.fallback.clone();
        let prefix = prefix_segments(&scope.prefix);
        let held = self.fallbacks.iter_mut().find(|(_, fallback)| fallback.prefix == prefix);
        let fallback = Fallback { prefix, endpoint: endpoint(named, &scope.layers, &states, None) };
        match held {
            Some((true, _)) if is_own => {
                return Err(RouteError::TwoFallbacks { prefix: scope.prefix.clone() });
            }
            Some(held) if is_own => *held = (is_own, fallback),
            Some(_) => {}
            None => self.fallbacks.push((is_own, fallback)),
        }
        Ok(())
    }

    fn finish(self, root: &Scope) -> Result<App, RouteError> {
        let Builder { drafts, by_pattern: _, mut fallbacks } = self;
        let server_allow = allow(drafts.iter().flat_map(|draft| &draft.endpoints).map(|(method, _)| method));
        let named = Named { handler: answer_unhandled(server_allow), name: "OPTIONS *" };
        let server_options = root.endpoint(named, None);
        let (mut routes, mut tree, mut literals) = (Vec::new(), matchit::Router::new(), Vec::new());
        for draft in drafts {
            let pattern = Rc::clone(&draft.pattern);
            let number = routes.len();
            tree.insert(pattern.as_ref(), number).map_err(|error| route_error(&pattern, error))?;
            // Also one with an escaped brace is the tree's.
            if !pattern.contains(['{', '}']) {
                literals.push((Box::from(pattern.as_bytes()), number));
            }
            routes.push(draft.finish());
        }
        fallbacks.sort_by_key(|(_, fallback)| std::cmp::Reverse(fallback.prefix.len()));
        let fallbacks = fallbacks.into_iter().map(|(_, fallback)| fallback).collect();
        Ok(App { routes, tree, literals: Literals::new(literals), fallbacks, server_options })
    }
}

impl Draft {
    fn finish(self) -> Route {
        let allow = allow(self.endpoints.iter().map(|(method, _)| method));
        let named = Named { handler: answer_unhandled(allow), name: "automatic OPTIONS and 405" };
        let unhandled = endpoint(named, &self.layers, &self.states, Some(&self.pattern));
        let mut route =
            Route { names: self.names, get: None, post: None, others: Vec::new(), any: None, unhandled };
        for (method, endpoint) in self.endpoints {
            match method {
                Some(Method::GET) => route.get = Some(endpoint),
                Some(Method::POST) => route.post = Some(endpoint),
                Some(method) => route.others.push((method, endpoint)),
                None => route.any = Some(endpoint),
            }
        }
        route
    }
}

/// `path` under `prefix`: a `/` stands for the prefix as it was written.
fn join(prefix: &str, path: &str) -> String {
    if path == "/" && !prefix.is_empty() {
        return prefix.to_owned();
    }
    format!("{}{path}", prefix.strip_suffix('/').unwrap_or(prefix))
}

fn check_prefix(prefix: &str) -> Result<(), RouteError> {
    if !prefix.starts_with('/') {
        return Err(invalid(prefix, "a prefix begins with /"));
    }
    if prefix.contains("{*") {
        return Err(invalid(prefix, "a prefix has no parameter for the rest of the path"));
    }
    Ok(())
}

fn prefix_segments(prefix: &str) -> Box<[Option<Box<str>>]> {
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    segments.map(|segment| (!segment.contains('{')).then(|| segment.into())).collect()
}

/// The names between braces, in their order. What is no pattern is found by matchit later.
fn param_names(pattern: &str) -> Result<Rc<[Box<str>]>, RouteError> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(escaped) = rest.strip_prefix('{') {
            rest = escaped;
            continue;
        }
        let Some(close) = rest.find('}') else { break };
        let name = rest[..close].strip_prefix('*').unwrap_or(&rest[..close]);
        // Next to a brace that stands for itself it is not clear where a parameter ends.
        if name.contains('{') || rest[close + 1..].starts_with('}') {
            return Err(invalid(pattern, "a brace touches a parameter"));
        }
        if names.iter().any(|held| **held == *name) {
            return Err(invalid(pattern, "two parameters have the same name"));
        }
        names.push(name.into());
        rest = &rest[close + 1..];
    }
    if names.len() > PARAMS_MAX {
        return Err(RouteError::TooManyParams { route: pattern.to_owned() });
    }
    Ok(names.into())
}

/// The value of `Allow` for these methods, where `None` is any.
fn allow<'a>(methods: impl Iterator<Item = &'a Option<Method>>) -> HeaderValue {
    let mut allowed = vec![Method::OPTIONS];
    for method in methods {
        match method {
            Some(Method::GET) => allowed.extend([Method::GET, Method::HEAD]),
            Some(method) => allowed.push(method.clone()),
            None => allowed.extend(ANY_METHODS),
        }
    }
    let known = ANY_METHODS.iter().filter(|method| allowed.contains(method));
    let mut names: Vec<&str> = known.map(Method::as_str).collect();
    for method in &allowed {
        if !names.contains(&method.as_str()) {
            names.push(method.as_str());
        }
    }
    HeaderValue::from_str(&names.join(", ")).expect("a method is a token")
}

fn invalid(route: &str, reason: &'static str) -> RouteError {
    RouteError::Invalid { route: route.to_owned(), reason }
}

fn route_error(route: &str, error: matchit::InsertError) -> RouteError {
    let reason = match error {
        matchit::InsertError::Conflict { with } => {
            return RouteError::Conflict { route: route.to_owned(), with };
        }
        matchit::InsertError::InvalidParamSegment => "a segment has at most one parameter",
        matchit::InsertError::InvalidParam => "a parameter has a name and closed braces",
        matchit::InsertError::InvalidCatchAll => "the parameter for the rest stands at the end",
        _ => "not a pattern",
    };
    invalid(route, reason)
}
