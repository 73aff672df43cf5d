import { createServer } from "node:http";
import express from "express";
import { serve } from "./serve.js";

const app = express();
app.post("/route", express.json(), (req, res) => res.json(req.body));

await serve({ http: createServer(app) });
