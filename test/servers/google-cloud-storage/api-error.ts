/** Errors as the JSON API writes them: https://cloud.google.com/storage/docs/json_api/v1/status-codes */

export interface ErrorOptions {
  location?: string;
  headers?: Record<string, string>;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
    readonly options: ErrorOptions = {},
  ) {
    super(message);
  }

  /** The document in the answer's body. */
  toJson(): string {
    const { location } = this.options;
    const where = location === undefined ? {} : { locationType: 'parameter', location };
    return JSON.stringify({
      error: {
        code: this.status,
        message: this.message,
        errors: [{ message: this.message, domain: 'global', reason: this.reason, ...where }],
      },
    });
  }
}

export const noBucket = () => new ApiError(404, 'notFound', 'The specified bucket does not exist.');
export const noObject = (bucket: string, name: string) =>
  new ApiError(404, 'notFound', `No such object: ${bucket}/${name}`);
export const conditionNotMet = () =>
  new ApiError(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.');
export const invalid = (message: string, location?: string) =>
  new ApiError(400, 'invalid', message, location === undefined ? {} : { location });
