//! The tool list as clients read it. It is sent into the context of a language model at every session,
//! so it is kept short: `tests/mcp` counts its tokens.

use std::sync::Arc;

use rmcp::model::{Tool as Listed, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::schema;
use crate::query::{Parameter, Tool};

/// All tools with their schemas.
pub fn tool_list() -> Vec<Listed> {
    Tool::ALL.into_iter().map(listed).collect()
}

fn listed(tool: Tool) -> Listed {
    let mut annotations = ToolAnnotations::default();
    annotations.read_only_hint = Some(true);
    annotations.destructive_hint = Some(false);
    annotations.idempotent_hint = Some(true);
    annotations.open_world_hint = Some(false);
    Listed::new(tool.name(), tool.description(), Arc::new(input(tool)))
        .with_title(tool.title())
        .with_raw_output_schema(Arc::new(schema::output(tool)))
        .with_annotations(annotations)
}

fn input(tool: Tool) -> Map<String, Value> {
    let property = |parameter: &Parameter| {
        let kind = if parameter.integer {
            "integer"
        } else {
            "string"
        };
        let schema = json!({ "type": kind, "description": parameter.description });
        (parameter.name.to_owned(), schema)
    };
    let parameters = tool.parameters();
    let properties: Map<String, Value> = parameters.iter().map(property).collect();
    let required: Vec<_> = parameters
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| parameter.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}
