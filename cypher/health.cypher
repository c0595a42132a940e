// Purpose: What kgplug serves: one row a model, with its run, its lists, and what should not be there.
// Parameters: none.
// Returns: model, run, published, lists (users), edges, stray_edges (of another run: a publish is under way or died),
//          vectors (nodes), indexes (indexes.cypher tells their state)
// Cost: reads every RECOMMENDS edge and every node once a model; seconds for millions of them.
MATCH (model:KgplugModel)-[:SERVES]->(run:KgplugRun)
RETURN model.name AS model, run.id AS run, toString(run.published) AS published,
       COUNT { MATCH (user:`User`) WHERE EXISTS { (user)-[:RECOMMENDS {model: model.name}]->() } } AS lists,
       COUNT { ()-[:RECOMMENDS {model: model.name}]->() } AS edges,
       COUNT { ()-[edge:RECOMMENDS {model: model.name}]->() WHERE edge.run <> run.id } AS stray_edges,
       COUNT { MATCH (node) WHERE any(name IN run.properties WHERE node[name] IS NOT NULL) } AS vectors,
       [index IN run.indexes WHERE index <> ''] AS indexes
ORDER BY model
