// Purpose: What kgplug serves: one row per model, with its run, its lists, and edges that should not exist.
// Parameters: none.
// Returns: model, run (the run that serves), published (when), lists (number of users with a list), edges (number of
//          edges in these lists), previous (the run to which `kgplug rollback` returns), stray_edges (number of edges
//          that are in no list of these two runs; if there are any, a publish is running or was killed), vectors
//          (number of nodes with a vector), indexes (names of the vector indexes; indexes.cypher shows their state)
// Cost: reads every RECOMMENDS edge and every node once per model. Seconds if there are millions of them.
MATCH (model:KgplugModel) WHERE model.serves IS NOT NULL
MATCH (run:KgplugRun {model: model.name, number: model.serves})
OPTIONAL MATCH (previous:KgplugRun {model: model.name, number: model.previous})
RETURN model.name AS model, run.id AS run, toString(run.published) AS published,
       COUNT { MATCH (user)-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->()
               RETURN DISTINCT user } AS lists,
       COUNT { ()-[:RECOMMENDS {model: model.name, edition: run.edition, run: run.id}]->() } AS edges,
       previous.id AS previous,
       COUNT { ()-[edge:RECOMMENDS {model: model.name}]->()
               WHERE EXISTS { (:KgplugRun {id: edge.run, model: model.name}) }
                 AND NOT coalesce(edge.edition, -1) IN [run.edition, coalesce(previous.edition, -2)] } AS stray_edges,
       COUNT { MATCH (node) WHERE any(name IN run.properties WHERE node[name] IS NOT NULL) } AS vectors,
       [index IN run.indexes WHERE index <> ''] AS indexes
ORDER BY model
