// Purpose: What kgplug serves: one row a model, with its run, its lists, and what should not be there.
// Parameters: none.
// Returns: model, run, published, lists (users), edges, previous (the run that `kgplug rollback` brings back),
//          stray_edges (of neither: a publish is under way or died), vectors (nodes), indexes (indexes.cypher tells
//          their state)
// Cost: reads every RECOMMENDS edge and every node once a model; seconds for millions of them.
MATCH (model:KgplugModel) WHERE model.serves IS NOT NULL
MATCH (run:KgplugRun {model: model.name, number: model.serves})
OPTIONAL MATCH (previous:KgplugRun {model: model.name, number: model.previous})
RETURN model.name AS model, run.id AS run, toString(run.published) AS published,
       COUNT { MATCH (user:`User`)
               WHERE EXISTS { (user)-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->() } } AS lists,
       COUNT { ()-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->() } AS edges,
       previous.id AS previous,
       COUNT { ()-[edge:RECOMMENDS {model: model.name}]->()
               WHERE EXISTS { (:KgplugRun {id: edge.run, model: model.name}) }
                 AND NOT coalesce(edge.edition, -1) IN [run.edition, coalesce(previous.edition, -2)] } AS stray_edges,
       COUNT { MATCH (node) WHERE any(name IN run.properties WHERE node[name] IS NOT NULL) } AS vectors,
       [index IN run.indexes WHERE index <> ''] AS indexes
ORDER BY model
