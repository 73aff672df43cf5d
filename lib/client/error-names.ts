import { nameErrors } from "../shared/error-names.js";
import * as errors from "./errors.js";

nameErrors(errors);
